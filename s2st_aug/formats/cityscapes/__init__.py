"""Cityscapes: polygons in JSON, label id images."""
