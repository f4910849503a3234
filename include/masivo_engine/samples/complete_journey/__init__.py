"""Real purchases of 2,469 households."""
