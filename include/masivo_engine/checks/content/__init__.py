"""What the legacy rows hold, looked at before a load."""
