"""
One run of the DAG by Airflow itself, start to end, and what the command says of it: the shortest
that shows all parts together. The long ones are those of `make test-slow` and `make scheduled`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from masivo_engine.model.rows import Entity
from masivo_engine.samples.planted import GOES
from masivo_engine.sandbox.options import Options
from masivo_engine.sandbox.wire.server import Sandbox
from tests.databases.sample import sample_shop
from tests.whole_migration import UNHURRIED, connections


pytestmark = pytest.mark.slow


ROOT = Path(__file__).parent.parent.parent
TOLERANT = json.dumps({"tolerance": 1_000})  # the sample has faults on purpose


@pytest.fixture
def python(tmp_path):
    """Run a program of this project with an Airflow of its own; return what it printed."""

    def run(*arguments, **variables):
        own = {
            "AIRFLOW_HOME": str(tmp_path),
            "PYTHONPATH": os.pathsep.join((str(ROOT / "include"), str(ROOT / "plugins"))),
        }
        command = [sys.executable, "-m", *arguments]
        ran = subprocess.run(command, env=os.environ | own | variables, check=False, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stdout[-5_000:] + ran.stderr[-5_000:]
        return ran.stdout

    return run


@pytest.mark.airflow
@pytest.mark.timeout(600)
def test_a_run_sends_all_that_goes_and_nothing_twice_and_its_account_adds_up(python, tmp_path):
    file, planted = sample_shop(tmp_path, customers=60)
    legacy, ledger = f"sqlite:///{file}", f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    with Sandbox(Options(**UNHURRIED)) as sandbox:
        given = connections(sandbox, legacy, ledger, "sample")
        python("airflow", "db", "migrate", **given)
        python("airflow", "dags", "test", "masivo_sync", "--conf", TOLERANT, **given)
        accepted = Counter((line.path, *record) for line in sandbox.lines() for record in line.accepted)
        made = json.loads(python("masivo", "account", "--json", **given))

    goes = {entity: planted.outcomes[entity][GOES] for entity in Entity}
    assert made["adds_up"] is True
    assert {entity: one["delivered"] for entity, one in made["entities"].items()} == goes
    assert len(accepted) == sum(goes.values()) > len(goes)
    assert set(accepted.values()) == {1}
