"""Legacy rows -> records."""
