"""A video's own cameras: poses, lens, and whether they may be believed."""
