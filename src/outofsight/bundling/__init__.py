"""A finished run as a folder to hand on: the export, how it is used, and a card with all that was measured."""
