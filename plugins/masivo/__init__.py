"""Masivo in Airflow: the hook, the operators, the sensor and the command line."""
