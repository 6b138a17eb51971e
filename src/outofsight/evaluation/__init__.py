"""Judging what was generated: measures, their floors and ceilings, and reports."""
