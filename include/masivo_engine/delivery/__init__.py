"""Batches -> requests -> receipts."""
