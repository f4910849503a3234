"""Airflow's connections: the legacy database, the ledger, the API."""
