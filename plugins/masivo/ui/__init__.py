"""Our pages in Airflow's UI."""
