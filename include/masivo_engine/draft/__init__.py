"""A first mapping for a database that nobody has mapped yet."""
