"""Video world models that remember what is out of sight."""
