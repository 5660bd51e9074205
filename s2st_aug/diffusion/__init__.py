"""Latent diffusion: the one door to diffusers, noise schedules, DDIM both ways.

Nothing above this layer knows a pipeline object.
"""
