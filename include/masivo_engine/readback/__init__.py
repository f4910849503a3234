"""What the API shows (GET), and what that proves."""
