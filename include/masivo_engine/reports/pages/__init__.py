"""Pages of HTML: of the audit pack, and in Airflow's UI."""
