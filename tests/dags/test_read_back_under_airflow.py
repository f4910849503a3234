"""
A sync and the read-back that follows it, under Airflow's own scheduler and without a triggerer:
nobody starts the read-back, and it waits for the queue without a worker.
"""

from __future__ import annotations

import json
import time

import pytest
from sqlalchemy import create_engine, text

from masivo.demo.folder import Folder, free_port
from masivo.demo.processes import Programs
from masivo.demo.progress import Clock, follow
from masivo.demo.stack import DAG_ID, Stack


pytestmark = pytest.mark.slow


SETTLE_S = 60


class Impatient(Stack):
    """A demo whose queue is given less time than Masivo's."""

    @property
    def environment(self):
        made = super().environment
        api = json.loads(made["AIRFLOW_CONN_MASIVO_API"])
        api["extra"]["settle_after_s"] = SETTLE_S
        return made | {"AIRFLOW_CONN_MASIVO_API": json.dumps(api)}


@pytest.mark.airflow
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")  # a guard stops them
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_a_sync_delivered_is_read_back_by_itself(tmp_path):
    folder = Folder(tmp_path / "demo", "sample")
    with folder.held():
        programs = Programs(folder.path / "demo.programs")
        port = free_port(but=folder.settings().sandbox_port)
        stack = Impatient(folder, programs, port, is_scheduled=True)
        with programs.guarded():
            running, _ = stack.start(60, Clock())
            airflow = stack.airflow
            airflow._call("PATCH", "dags/masivo_verify", json={"is_paused": False})
            airflow._call("PATCH", f"dags/{DAG_ID}", json={"is_paused": False})
            airflow.trigger(DAG_ID, "first", {})
            # Red, because the sample has faults and none is tolerated; what went is read back all
            # the same.
            assert follow(airflow, DAG_ID, "first", running, Clock()) == "failed"
            (run_id,) = wait_for(lambda: runs(airflow, "masivo_verify", "asset_triggered"))
            seen = set()
            while (state := airflow.state("masivo_verify", run_id)) not in {"success", "failed"}:
                seen |= {task["state"] for task in airflow.tasks("masivo_verify", run_id)}
                for program in running:
                    program.check()
                time.sleep(0.3)
            assert state == "success"
    assert "up_for_reschedule" in seen
    engine = create_engine(f"sqlite:///{folder.ledger}")
    with engine.connect() as connection:
        confirmed = connection.execute(
            text("SELECT count(*) FROM masivo_record WHERE confirmed_at IS NOT NULL")
        ).scalar_one()
        waiting = connection.execute(text("SELECT count(*) FROM masivo_finding WHERE bucket = 'waiting'")).scalar_one()
    engine.dispose()
    assert confirmed > 60
    assert waiting == 0


def runs(airflow, dag_id, kind):
    found = airflow._call("GET", f"dags/{dag_id}/dagRuns")["dag_runs"]
    return [run["dag_run_id"] for run in found if run["run_type"] == kind]


def wait_for(found):
    deadline = time.monotonic() + 120
    while not (made := found()):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    return made
