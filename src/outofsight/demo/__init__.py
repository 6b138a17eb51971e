"""One clip of the bundled model's world: rendered on the spot, continued, measured, and drawn for people."""
