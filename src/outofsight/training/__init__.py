"""Training: latents from clips, the loop, its state on disk, recipes."""
