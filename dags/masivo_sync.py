"""
The Airflow DAG `masivo_sync`. What it does, and what to do when it fails, is in
`masivo.dags.sync_dag`.
"""

from __future__ import annotations

from masivo.dags import migration


migration("masivo_sync")
