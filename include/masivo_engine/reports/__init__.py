"""The ledger as people and machines read it."""
