"""
The few things that the demo asks of Airflow, over its REST API and as its UI does.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import requests

from masivo_engine.model.errors import MigrationError


_ANSWER_S = 30.0
_TRIES = 5


class Airflow:
    """
    Airflow's API server at *address*, where everyone is an admin (it listens on the loopback only).
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy of the environment does not know this machine's loopback

    def is_healthy(self) -> bool:
        """Whether the server answers, and has heard from the scheduler and the DAG processor."""
        try:
            health = self._session.get(f"{self.address}/api/v2/monitor/health", timeout=5).json()
        except (requests.RequestException, ValueError):
            return False
        return all(health[part]["status"] == "healthy" for part in ("metadatabase", "scheduler", "dag_processor"))

    def answers(self) -> bool:
        """Whether the server answers at all."""
        try:
            return self._session.get(f"{self.address}/api/v2/version", timeout=5).ok
        except requests.RequestException:
            return False

    def has_dag(self, dag_id: str) -> bool:
        """
        Whether Airflow has read the DAG.

        :raises MigrationError: it has tried and could not.
        """
        if self._call("GET", f"dags/{dag_id}", may_be_missing=True):
            return True
        errors = self._call("GET", "importErrors")["import_errors"]
        if errors:
            raise MigrationError(f"Airflow cannot read {errors[0]['filename']}: {errors[0]['stack_trace'].strip()}")
        return False

    def trigger(self, dag_id: str, run_id: str, parameters: dict[str, Any]) -> None:
        """
        Switch the DAG on and start one run of it, with the two requests of the UI's *Trigger*
        button.
        """
        self.switch_on(dag_id)
        body = {"dag_run_id": run_id, "logical_date": datetime.now(UTC).isoformat(), "conf": parameters}
        self._call("POST", f"dags/{dag_id}/dagRuns", json=body)

    def switch_on(self, dag_id: str) -> None:
        """Let the DAG's runs start; Airflow makes every DAG switched off."""
        self._call("PATCH", f"dags/{dag_id}", json={"is_paused": False})

    def give_up(self, dag_id: str, run_id: str) -> None:
        """Mark a run as failed whose tasks have died with the programs that ran them."""
        self._call("PATCH", f"dags/{dag_id}/dagRuns/{run_id}", json={"state": "failed"}, may_be_missing=True)

    def state(self, dag_id: str, run_id: str) -> str:
        """Return the run's state."""
        return str(self._call("GET", f"dags/{dag_id}/dagRuns/{run_id}")["state"])

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return the run's task instances, in the order in which they started."""
        found: list[dict[str, Any]] = []
        while True:
            query = {"limit": 100, "offset": len(found), "order_by": "start_date"}
            page = self._call("GET", f"dags/{dag_id}/dagRuns/{run_id}/taskInstances", params=query)
            found += page["task_instances"]
            if len(found) >= page["total_entries"] or not page["task_instances"]:
                return found

    def _call(self, method: str, path: str, *, may_be_missing: bool = False, **request: Any) -> Any:
        if "Authorization" not in self._session.headers:
            token = self._answer("GET", "auth/token").json()["access_token"]
            self._session.headers["Authorization"] = f"Bearer {token}"
        answer = self._answer(method, f"api/v2/{path}", **request)
        if may_be_missing and answer.status_code == 404:
            return None
        if not answer.ok:
            raise MigrationError(f"Airflow answers {method} {path} with {answer.status_code}: {answer.text[:500]}")
        return answer.json()

    def _answer(self, method: str, path: str, **request: Any) -> requests.Response:
        """
        Ask, and ask again what may be asked twice: on a busy machine Airflow's SQLite is locked for
        longer than an answer may take.
        """
        tries = 1 if method == "POST" else _TRIES
        while True:
            tries -= 1
            try:
                return self._session.request(method, f"{self.address}/{path}", timeout=_ANSWER_S, **request)
            except (requests.ConnectionError, requests.Timeout) as error:
                if not tries:
                    msg = (
                        f"Airflow does not answer {method} {path} ({type(error).__name__}); look at its logs, and run"
                        " the same again"
                    )
                    raise MigrationError(msg) from error
