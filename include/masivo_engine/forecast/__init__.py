"""Everything but sending."""
