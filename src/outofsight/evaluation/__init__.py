"""Judging what was generated: metrics, their baselines and upper bounds, and reports."""
