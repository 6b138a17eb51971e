"""The two-bank memory: an archivist that files away places, a tracker whose subjects live on unseen."""
