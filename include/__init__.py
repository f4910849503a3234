"""What the system does: one file per station of a row's journey, see ``include/journey.py``."""
