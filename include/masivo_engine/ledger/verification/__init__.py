"""Read-backs: what is due, who is read, what was found."""
