"""
The whole demo, under Airflow's own scheduler: half a minute a run, so the few that there are show
much at once.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections import Counter

import psutil
import pytest
from sqlalchemy import create_engine, text

from masivo.demo.command import run_up
from masivo.demo.folder import ROOT, Folder
from masivo.demo.processes import Programs
from masivo_engine.model.errors import Misconfigured
from masivo_engine.sandbox.state.journal import read


pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path / "demo", "sample")


def demo(folder, *, is_killed_after=""):
    """
    Run a demo in a process of its own, perhaps killed after a line that holds some words; return
    code and output.
    """
    program = (
        "import sys; from pathlib import Path; from masivo.demo.command import run_demo; from masivo.demo.folder"
        f" import Folder;sys.exit(run_demo(Folder(Path({str(folder.path)!r}), {folder.data!r}), 60, is_fresh=False))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT / "include"), str(ROOT / "plugins")))}
    with subprocess.Popen(
        [sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if is_killed_after and is_killed_after in line:
                left = [child for child in psutil.Process(process.pid).children() if child.name() != "airflow"]
                process.send_signal(signal.SIGKILL)
                psutil.wait_procs(left, timeout=60)
                break
        code = process.wait()
    return code, "".join(lines)


def accepted(folder):
    """Return how often the sandbox took each record, by its own journal."""
    journal = folder.sandbox.with_name(f"{folder.sandbox.name}.journal.jsonl")
    return Counter((line.path, *record) for line in read(journal) for record in line.accepted)


def confirmed(folder):
    """Return how many rows a read-back has confirmed."""
    engine = create_engine(f"sqlite:///{folder.ledger}")
    with engine.connect() as connection:
        found = connection.execute(
            text("SELECT count(*) FROM masivo_record WHERE confirmed_at IS NOT NULL")
        ).scalar_one()
    engine.dispose()
    return found


@pytest.mark.airflow
@pytest.mark.timeout(900)
def test_a_demo_that_is_killed_half_way_leaves_nothing_and_the_next_one_goes_on(folder):
    killed, _ = demo(folder, is_killed_after="customers.send")
    assert killed == -signal.SIGKILL
    assert Programs(folder.path / "demo.programs").running() == []
    before = accepted(folder)
    assert before

    code, output = demo(folder)
    assert code == 0, output
    assert "adds up" in output
    assert "verdict" in output, "what was delivered is read back"
    assert confirmed(folder) > 0
    assert Programs(folder.path / "demo.programs").running() == []
    after = accepted(folder)
    assert len(after) > len(before)
    assert set(after.values()) == {1}

    code, output = demo(folder)
    assert code == 0, output
    assert "nothing was sent" in output
    assert "masivo_verify" not in output
    assert accepted(folder) == after


def test_a_port_that_is_taken_is_named_with_what_to_do(folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Misconfigured, match=rf"port {port} is taken .* make up PORT={port + 1}"):
            run_up(folder, None, port, is_fresh=False)
