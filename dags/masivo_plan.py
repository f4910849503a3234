"""
The Airflow DAG `masivo_plan`. What it does, and what to do when it fails, is in
`masivo.dags.plan_dag`.
"""

from __future__ import annotations

from masivo.dags import migration


migration("masivo_plan")
