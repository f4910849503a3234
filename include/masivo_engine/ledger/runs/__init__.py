"""Runs: what they cover, what people decided, how long their rows are kept."""
