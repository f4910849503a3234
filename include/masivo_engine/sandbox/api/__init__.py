"""What the API does with a request."""
