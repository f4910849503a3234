"""
The Airflow DAG `masivo_replay`. What it does, and what to do when it fails, is in
`masivo.dags.replay_dag`.
"""

from __future__ import annotations

from masivo.dags import migration


migration("masivo_replay")
