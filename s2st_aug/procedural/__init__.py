"""Procedural street scenes: one 3-D street, six pixel-aligned conditions, exact native labels."""
