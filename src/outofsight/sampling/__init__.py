"""Making video: one-shot continuation."""
