"""What a run covers, before anything is read for real."""
