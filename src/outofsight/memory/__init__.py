"""Memory tokens and the rules by which a frame chooses among them."""
