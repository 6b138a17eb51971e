"""The diffusion transformer with HyDRA's memory, and its checkpoints."""
