"""Legacy database -> legacy rows."""
