"""The explorer: walk through a remembered world in the browser, and see what it remembers."""
