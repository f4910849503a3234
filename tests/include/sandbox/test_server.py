"""
The server: where it listens, what survives its death, and the command line.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from masivo_engine.sandbox import command
from masivo_engine.sandbox.options import Options
from masivo_engine.sandbox.state.journal import read
from masivo_engine.sandbox.wire.server import PortBusy, Sandbox
from tests.include.sandbox.bodies import balance, customer, customers, event, events, transaction, transactions
from tests.include.sandbox.client import CUSTOMERS, EVENTS, TRANSACTIONS, Client, sandbox


ROOT = Path(__file__).parents[3]


def started(*arguments: str) -> tuple[subprocess.Popen[str], int]:
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "masivo_engine.sandbox",
            "--port",
            "0",
            "--interval",
            "0",
            "--per-hour",
            "0",
            *arguments,
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    first_line = process.stdout.readline()
    return process, int(first_line.split("127.0.0.1:")[1].split("/")[0])


def ended(process: subprocess.Popen[str], number: signal.Signals) -> int:
    process.send_signal(number)
    process.communicate(timeout=20)
    return process.returncode


def test_it_listens_on_this_machine_only_and_says_where():
    with sandbox() as api:
        assert api.url == f"http://127.0.0.1:{api.port}/api/storefront/v1"


def test_a_busy_port_is_one_clear_sentence():
    with sandbox() as api, pytest.raises(PortBusy, match=f"port {api.port} of 127.0.0.1 is in use; stop what listens"):
        Sandbox(Options(port=api.port))


def test_the_command_line_ends_with_2_and_a_sentence_if_it_cannot_start(capsys, tmp_path):
    (tmp_path / "script.json").write_text('{"rules": [{"faults": ["earthquake"]}]}')
    with socket.create_server(("127.0.0.1", 0)) as busy:
        for arguments, said in (
            (["--port", str(busy.getsockname()[1])], "is in use"),
            (["--store", "/proc/none/store.db"], "cannot be used"),
            (["--speed", "0"], "must be above zero"),
            (["--interval", "-1"], "interval_s is below zero"),
            (["--poison-rate", "2"], "from 0 to 1"),
            (["--outage", "3"], "give two numbers"),
            (["--faults", str(tmp_path / "none.json")], "No such file"),
            (["--faults", str(tmp_path / "script.json")], "unknown faults ['earthquake']"),
            (["--host", "203.0.113.1"], "cannot listen on 203.0.113.1:8099"),
        ):
            assert command.main(arguments) == 2
            (sentence,) = capsys.readouterr().err.splitlines()
            assert said in sentence


def test_every_option_of_the_command_line_arrives():
    parser = command.argparse.ArgumentParser()
    command.add_arguments(parser)
    assert command.options_from(parser.parse_args([])) == Options(port=8099)
    typed = (
        "--partial --telling names_all --naming index --api-key a=shop --api-key b --outage 1-2 --per-hour 250 --store"
        " s.db"
    )
    options = command.options_from(parser.parse_args(typed.split()))
    assert options == Options(
        port=8099,
        atomic=False,
        telling=options.telling.NAMES_ALL,
        naming=options.naming.INDEX,
        accounts={"a": "shop", "b": "account-2"},
        outages=((1.0, 2.0),),
        per_hour=250,
        store=Path("s.db"),
    )


def test_closing_ends_kept_alive_connections_and_may_be_repeated():
    with sandbox() as api:
        client = api.client()
        api.close()
        with pytest.raises((ConnectionError, OSError)):
            client.get("/customers/C1")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_cleanly_when_told(number):
    process, _ = started()
    assert ended(process, number) == 0


def test_what_was_accepted_survives_kill_9(tmp_path):
    store = tmp_path / "state" / "sandbox.db"
    process, port = started("--store", str(store), "--delay", "1")
    client = Client(port)
    client.post(CUSTOMERS, customers(customer(1, balance=[balance(5)])))
    client.post(EVENTS, events(C1=[event("P1")]))
    token = client.token
    ended(process, signal.SIGKILL)
    client.close()

    process, port = started("--store", str(store), "--delay", "0", "--existing", "refuse")
    client = Client(port, token=token)  # a token outlives the server, too
    assert client.post(CUSTOMERS, customers(customer(1))).status == 422
    assert client.post(TRANSACTIONS, transactions(C1=[transaction("T1")])).status == 201
    client.close()
    assert ended(process, signal.SIGTERM) == 0

    with sandbox(store=store) as api:
        assert [record.times for record in api.accepted("events")] == [1]
        lines = api.lines()
        assert [line.sequence for line in lines] == list(range(1, len(lines) + 1))
        assert [line.accepted for line in lines if line.accepted] == [
            (("C1", "C1"),),
            (("P1", "C1"),),
            (("T1", "C1"),),
        ]


def test_a_line_that_a_crash_kept_from_the_journal_is_made_good(tmp_path):
    with sandbox(store=tmp_path / "s.db") as api:
        client = api.client()
        client.post(CUSTOMERS, customers(customer(1)))
        client.post(CUSTOMERS, customers(customer(2)))
        journal = api.api.journal.path
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-1]) + lines[-1][:40])  # torn while it was written

    with sandbox(store=tmp_path / "s.db") as api:
        api.client()
        kept, lost = [line for line in api.lines() if line.method == "POST"]
        assert (kept.verdict, kept.accepted) == ("accepted", (("C1", "C1"),))
        assert (lost.verdict, lost.accepted, lost.sequence) == ("recovered", (("C2", "C2"),), kept.sequence + 1)
        assert [line.sequence for line in api.lines()] == [1, 2, 3, 4]


def test_a_sandbox_in_memory_leaves_nothing_behind():
    with sandbox() as api:
        api.client().post(CUSTOMERS, customers(customer(1)))
        journal = api.api.journal.path
        assert [line.verdict for line in read(journal)] == ["read", "accepted"]
    assert not journal.parent.exists()


def test_it_may_be_imported_without_the_rest_of_the_project():
    code = (
        "import masivo_engine.sandbox.wire.server, sys; print([name for name in sys.modules if"
        " name.startswith(('airflow', 'masivo.', 'masivo_engine.'))])"
    )
    process = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "include"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert all(name.startswith("'masivo_engine.sandbox") for name in process.stdout.strip()[1:-1].split(", "))
