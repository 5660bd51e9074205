"""Training a small latent diffusion model on any folder of images with one sub-folder per domain."""
