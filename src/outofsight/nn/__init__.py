"""Plain torch building blocks: rotary positions and retrieval attention, free of diffusers."""
