"""`python -m masivo` and its commands."""
