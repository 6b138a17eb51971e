"""Worlds as data: places, subjects, their ways, cameras, events, pictures and captions. Without torch."""
