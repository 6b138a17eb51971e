"""Seeing what a video shows: subjects, their kinds and identities, and features by which pictures are compared."""
