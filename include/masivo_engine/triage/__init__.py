"""Records -> send, or a state and a reason."""
