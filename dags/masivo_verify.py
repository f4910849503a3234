"""
The Airflow DAG `masivo_verify`. What it does, and what to do when it fails, is in
`masivo.dags.verify_dag`.
"""

from __future__ import annotations

from masivo.dags import migration


migration("masivo_verify")
