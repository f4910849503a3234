"""What the ledger knows of earlier rows."""
