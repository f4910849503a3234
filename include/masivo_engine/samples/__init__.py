"""Legacy databases to try the migration on: an invented retailer's, and one of real purchases."""
