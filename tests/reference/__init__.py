"""Slow, plain forms of what the package does fast."""
