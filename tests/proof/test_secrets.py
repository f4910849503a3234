"""
Names, addresses, the key and tokens stay where they belong: whatever breaks, they are in no log, no
XCom, no exception and no column of the ledger.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator

import pytest
from sqlalchemy import inspect, text

from masivo.wire import tokens
from masivo_engine.ledger.runs.runs import slices_of
from masivo_engine.sandbox.faults.faults import Rule, Script
from masivo_engine.sandbox.options import DEFAULT_KEY, Naming, Telling
from tests.databases.proof import MARK
from tests.proof import engines
from tests.proof.rig import Rig, Schedule, rig


pytestmark = pytest.mark.slow


FAULTS = ("500_but_accepted", "close_after_accept", "422_html", "200_html", "garbage", "503", "ok_html_body", "429")


class Memory(logging.Handler):
    """Keeps every line, with its traceback, that any logger writes."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def memory() -> Iterator[Memory]:
    """The root logger at its most talkative."""
    kept, root = Memory(), logging.getLogger()
    level = root.level
    root.addHandler(kept)
    root.setLevel(logging.DEBUG)
    try:
        yield kept
    finally:
        root.removeHandler(kept)
        root.setLevel(level)


def secrets() -> list[str]:
    """
    What must not be seen: the mark in every name and address, the key, and every token of the
    journey.
    """
    granted = [getattr(grant, "token", "") for grant in tokens._grants.values()]
    return [MARK, DEFAULT_KEY, *filter(None, granted)]


def ledger_text(running: Rig) -> Iterator[str]:
    engine = engines.ledger_at(running.ledger_url)
    with engine.connect() as connection:
        for table in inspect(connection).get_table_names():
            for row in connection.execute(text(f"SELECT * FROM {table}")):
                yield f"{table}: {tuple(row)!r}"


def faulty(*faults: str, **options) -> Schedule:
    rules = tuple(Rule(faults=(fault,), nth=(number,)) for number, fault in enumerate(faults, start=2))
    return Schedule(options=options, faults=Script(rules=rules))


@pytest.mark.parametrize("by_operators", [False, True])
def test_nothing_planted_shows_whatever_breaks(memory, capfd, by_operators):
    # The worst prose that an API could write: it names the record by its e-mail address.
    poison = frozenset({"C003", "S007-03", "T009-01"})
    made = faulty(*FAULTS, telling=Telling.NAMES_ALL, naming=Naming.EMAIL, poison=poison)
    with rig(made, customers=16, by_operators=by_operators) as running:
        logging.getLogger("masivo").setLevel(logging.DEBUG)
        proof = running.play(made)
        assert not proof.problems, str(proof)
        seen = [*memory.lines, *capfd.readouterr(), *ledger_text(running)]
        if running.airflow:
            seen += [repr(returned) for returned in running.airflow.xcoms]
            assert running.airflow.xcoms
        assert any(line.startswith("masivo_record") for line in seen)
        assert memory.lines
        told = secrets()
        assert len(told) > 2, "no token was kept, so none was looked for"
        for secret in told:
            assert not [line for line in seen if secret in line], f"{secret[:8]}... shows"


@pytest.mark.parametrize(
    "fault", ["401", "403", "404", "200", "200_html", "301", "422_html", "429_huge", "hang_before", "rst_before"]
)
def test_no_exception_shows_what_was_sent_or_with_what_key(fault):
    rules = (Rule(faults=(fault,), path="/customers/migrate"),)
    with rig(Schedule(faults=Script(rules=rules)), customers=16) as running:
        trip = running.trip()
        run = trip.begin("run-1")
        told = ""
        for part in slices_of(trip.place.ledger, run.number, next(iter(trip.place.mapping.entities))):
            try:
                trip.work_off(run, part)
            except Exception:  # noqa: BLE001 (whatever it is, it must not show)
                told += traceback.format_exc()
        trip.close()
        told += "\n".join(ledger_text(running))
        assert not [secret for secret in secrets() if secret in told]
