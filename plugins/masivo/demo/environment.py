"""
The environment that the demo's programs run in: Airflow's settings, the three connections, the
mapping.

Nothing of the caller's own Airflow is taken over, and nothing here leaves the loopback.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping

from masivo.demo.folder import ROOT, Folder, write_private
from masivo_engine.sandbox.options import DEFAULT_KEY


# What the sandbox is set to, and the connection with it: quick, so that a demo is short. Masivo's
# own is 5 s.
INTERVAL_S = {"sample": 0.1, "complete-journey": 0.0}
MAPPINGS = {"sample": "sample", "complete-journey": "complete_journey"}
_NO_HOURLY_CAP = 1_000_000
# The sandbox's queue takes two seconds; Masivo's own is given three minutes before a read-back
# asks.
_SETTLE_AFTER_S = 10
# A demo that is run again after its plug was pulled does not wait for the dead.
_LEASE_S = 30


def environment(folder: Folder, *, port: int, is_scheduled: bool) -> dict[str, str]:
    """
    Return the whole environment of the demo's programs.

    :param port: of Airflow's API server and UI.
    :param is_scheduled: whether Airflow starts runs by itself, on the DAG's schedule.
    """
    settings = folder.settings()
    address = f"http://127.0.0.1:{port}"
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AIRFLOW", "MASIVO_", "_AIRFLOW")) and not name.lower().endswith("_proxy")
    }
    return (
        kept
        | connections(folder)
        | {
            "PYTHONPATH": os.pathsep.join((str(ROOT / "include"), str(ROOT / "plugins"))),
            "PYTHONUNBUFFERED": "1",
            "PYTHONWARNINGS": "ignore:GitWildMatchPattern",  # of Airflow itself, in the log of every task
            "NO_PROXY": "*",
            "AIRFLOW__API__HOST": "127.0.0.1",  # everyone who reaches it is an admin
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API__BASE_URL": address,
            "AIRFLOW__API__WORKERS": "1",
            # One secret for all: components that start together on an empty home would each make
            # their own (research 5.4).
            "AIRFLOW__API_AUTH__JWT_SECRET": settings.jwt_secret,
            "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__FERNET_KEY": settings.fernet_key,
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{folder.airflow / 'airflow.db'}",
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(folder.logs / "tasks"),
            # A worker that died is noticed after 20 to 30 s instead of 5 minutes (research 8).
            "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "15",
            "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "15",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.1",
            "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": str(is_scheduled),
            # A task's supervisor notices only at its next heartbeat that the task has ended, and
            # holds its slot until then.
            "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        }
    )


def connections(folder: Folder) -> dict[str, str]:
    """
    Return what ties the project to this demo's databases and sandbox, as people would set it, too.
    """
    api = {
        "conn_type": "masivo",
        "schema": "http",
        "host": "127.0.0.1",
        "port": folder.settings().sandbox_port,
        "password": DEFAULT_KEY,
        "extra": {
            "interval_s": INTERVAL_S[folder.data],
            "per_hour": _NO_HOURLY_CAP,
            "settle_after_s": _SETTLE_AFTER_S,
            "lease_s": _LEASE_S,
            "account_id": "demo",
        },
    }
    return {
        "AIRFLOW_HOME": str(folder.airflow),
        "AIRFLOW_CONN_LEGACY_DB": json.dumps({"conn_type": "sqlite", "host": str(folder.legacy)}),
        "AIRFLOW_CONN_MASIVO_API": json.dumps(api),
        "AIRFLOW_CONN_MASIVO_LEDGER": json.dumps({"conn_type": "sqlite", "host": str(folder.ledger)}),
        "MASIVO_MAPPING": MAPPINGS[folder.data],
    }


def write_for_people(folder: Folder, settings: Mapping[str, str]) -> None:
    """
    Leave *settings* in a file that a shell can read, so that ``python -m masivo`` works on this
    demo afterwards.
    """
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in settings.items()]
    write_private(folder.environment, "".join(lines))
