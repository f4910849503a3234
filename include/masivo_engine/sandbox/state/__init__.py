"""What the API has."""
