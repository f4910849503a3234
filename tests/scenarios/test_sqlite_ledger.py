"""
One SQLite ledger, and several processes that use it at the same time: what one of them has
committed is never lost.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, make_url, text

from masivo.connections import engines
from masivo_engine.model.rows import Entity
from masivo_engine.sandbox.state.store import Store
from tests.databases import changing
from tests.whole_migration import UNLIMITED


pytestmark = pytest.mark.slow


ROOT = Path(__file__).parents[2]


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "include"), str(ROOT / "plugins")))}


class Process:
    """A process of ours that obeys lines."""

    def __init__(self, *arguments: str) -> None:
        self.name = arguments[-1]
        self._process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the process has ended"
        return line.strip()

    def until(self, *wanted: str) -> str:
        """Return the first line that is one of *wanted*; what comes before is Airflow's log."""
        assert self._process.stdout is not None
        said = []
        for line in self._process.stdout:
            said.append(line)
            if line.strip() in wanted:
                return line.strip()
        raise AssertionError("".join(said))

    def ask(self, line: str) -> str:
        self.tell(line)
        return self.answer()

    def kill(self) -> None:
        self._process.kill()
        self.end()

    def end(self) -> int:
        """Let it come to its end, and return how it ended."""
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()
        return self._process.wait(60)


@contextmanager
def processes() -> Iterator[list[Process]]:
    """A list of processes that do not outlive the block."""
    started: list[Process] = []
    try:
        yield started
    finally:
        for process in started:
            process.kill()


def rows(file: Path) -> set[tuple[str, int]]:
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return set(connection.execute("SELECT name, n FROM row"))


def a_ledger(folder: Path) -> tuple[str, Path]:
    file = folder / "ledger.db"
    url = f"sqlite:///{file}"
    engine = engines.ledger(make_url(url))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE row (name TEXT, n INTEGER)"))
    engine.dispose()
    return url, file


def test_a_look_from_outside_takes_nothing_from_a_process_that_opened_the_ledger_twice(tmp_path):
    url, _ = a_ledger(tmp_path)
    with processes() as started:
        started += [Process("tests.scenarios.ledger_users", url, name) for name in ("writes", "looks")]
        writer, looker = started
        assert (writer.answer(), looker.answer()) == ("ready", "ready")
        assert writer.ask("commit 1") == "committed"
        assert writer.ask("again 2") == "committed"
        assert looker.ask("look") == "writes:1 writes:2"
        assert writer.ask("commit 3") == "committed"
        assert looker.ask("look") == "writes:1 writes:2 writes:3"


@pytest.mark.parametrize("seed", range(3))
def test_no_commit_is_lost_while_others_look_open_close_and_die(tmp_path, seed):
    url, file = a_ledger(tmp_path)
    dice = random.Random(seed)
    acknowledged: set[tuple[str, int]] = set()
    unheard: set[tuple[str, int]] = set()
    with processes() as started:

        def start(name: str) -> Process:
            started.append(Process("tests.scenarios.ledger_users", url, name))
            assert started[-1].answer() == "ready"
            return started[-1]

        writers, lookers = [start(f"writer-{n}") for n in range(3)], [start("looks")]
        for n in range(120):
            writer, looker = dice.choice(writers), dice.choice(lookers)
            match dice.random():
                case chance if chance < 0.6:
                    assert writer.ask(f"{dice.choice(('commit', 'again'))} {n}") == "committed"
                    acknowledged.add((writer.name, n))
                case chance if chance < 0.93:
                    assert len(looker.ask("look").split()) >= len(acknowledged)
                case chance if chance < 0.96:
                    # In the middle of whatever it does: of this row nobody knows.
                    writer.tell(f"again {n}")
                    unheard.add((writer.name, n))
                    writer.kill()
                    writers[writers.index(writer)] = start(f"{writer.name}-again")
                case _:
                    looker.tell("look")
                    looker.kill()
                    lookers[lookers.index(looker)] = start("looks")
        for process in writers[1:]:
            process.end()
    found = rows(file)
    assert acknowledged <= found
    assert found <= acknowledged | unheard


def test_a_forked_process_neither_takes_over_nor_spoils_what_its_parent_has_open(tmp_path):
    """
    Airflow's executor forks its tasks: what the child opens is its own, and stays so when the
    parent has closed everything.
    """
    url, _ = a_ledger(tmp_path)
    parent = engines.ledger(make_url(url))
    insert(parent, "parent", 1)
    with forked(lambda: engines.ledger(make_url(url)), lambda engine, n: insert(engine, "child", n)) as child:
        assert child.ask(1) == "done"
        insert(parent, "parent", 2)
        parent.dispose()  # as far as its parent knows, nobody uses the ledger any more
        assert child.ask(2) == "done"
        with processes() as started:
            started.append(Process("tests.scenarios.ledger_users", url, "looks"))
            assert started[0].answer() == "ready"
            assert started[0].ask("look") == "child:1 child:2 parent:1 parent:2"


def test_a_process_that_was_forked_from_one_in_the_middle_of_reading_keeps_away(tmp_path):
    url, _ = a_ledger(tmp_path)
    parent = engines.ledger(make_url(url))
    with (
        parent.connect().execution_options(reads_only=True) as connection,
        forked(lambda: None, lambda _, n: insert(engines.ledger(make_url(url)), "child", n)) as child,
    ):
        assert connection.execute(text("SELECT count(*) FROM row")).scalar() == 0
        assert "forked from one that was using it" in child.ask(1)
    parent.dispose()


def insert(engine: Engine, name: str, n: int) -> None:
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO row VALUES (:name, :n)"), {"name": name, "n": n})


@dataclass
class Child:
    asks: Connection

    def ask(self, n: int) -> str:
        self.asks.send(n)
        assert self.asks.poll(60)
        return str(self.asks.recv())


@contextmanager
def forked(opens: Callable[[], Any], does: Callable[[Any, int], None]) -> Iterator[Child]:
    """
    Fork a child that *opens* something and does something with it for each number that it is asked
    with.
    """
    here, there = Pipe()
    pid = os.fork()
    if not pid:
        with suppress(BaseException):
            opened = opens()
            while True:
                n = there.recv()
                try:
                    does(opened, n)
                    there.send("done")
                except Exception as error:  # noqa: BLE001 (the parent judges)
                    there.send(str(error))
        os._exit(0)
    try:
        yield Child(here)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        here.close()
        there.close()


def test_who_looks_makes_nothing_durable_and_removes_nothing(tmp_path):
    url, file = a_ledger(tmp_path)
    with processes() as started:
        started.append(Process("tests.scenarios.ledger_users", url, "writes"))
        assert started[0].answer() == "ready"
        assert started[0].ask("commit 1") == "committed"
        started[0].kill()
    log = file.with_name("ledger.db-wal")
    before = (file.read_bytes(), log.read_bytes())  # nobody has it open
    engine = engines.ledger_to_look_at(make_url(url))
    with engine.connect().execution_options(reads_only=True) as connection:
        assert connection.execute(text("SELECT name, n FROM row")).all() == [("writes", 1)]
        with pytest.raises(Exception, match="readonly"):
            connection.execute(text("INSERT INTO row VALUES ('looks', 1)"))
    engine.dispose()
    assert (file.read_bytes(), log.read_bytes()) == before


def test_the_sandbox_started_again_in_one_process_keeps_what_it_took(tmp_path):
    """
    Tests open a second sandbox on the file of the first; somebody who looks from outside must not
    cost it anything.
    """
    file = tmp_path / "sandbox.db"
    first = Store(file)
    first.fixed("a", "1")
    second = Store(file)
    assert names_in(file) == "a"
    first.fixed("b", "2")
    found = names_in(file)
    first.close()
    second.close()
    assert found == "a,b"


def names_in(file: Path) -> str:
    """Ask for what is kept, in another process, which closes the file when it has looked."""
    look = (
        f"import sqlite3; c = sqlite3.connect({str(file)!r});"
        "print(c.execute('SELECT group_concat(name) FROM meta').fetchone()[0]); c.close()"
    )
    return subprocess.run([sys.executable, "-c", look], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def site(sqlite_url, tmp_path, monkeypatch):
    """A shop of fifteen customers, whose run has nine tasks that send: each opens the ledger."""
    many_tasks = UNLIMITED | {"records": 5, "slice_requests": 1}
    ledger = f"sqlite:///{tmp_path / 'ledger.db'}"
    with changing.site(sqlite_url, ledger, tmp_path, monkeypatch, keeps_time=False, extra=many_tasks) as made:
        for n in range(15):
            made.shop.add_person(f"P{n}", points=5)
            made.shop.add_sale(f"S{n}", f"P{n}")
            made.shop.add_booking(f"T{n}", f"P{n}")
        made.trip.close()
        yield made


def test_accounts_beside_a_run_make_no_later_run_send_anything_twice(site):
    with processes() as started:
        started.append(run := Process("tests.scenarios.one_run", "first", "--waits"))
        looked = set()
        while (line := run.until(*(f"sent {entity}" for entity in Entity), "ended")) != "ended":
            if line not in looked:
                looked.add(line)
                assert "customers" in printed("masivo", "account")
            run.tell("on")
        run.kill()  # what it has committed is safe without its help
    assert len(looked) == len(Entity)
    site.sync(run_id="second")
    assert len(site.everything_sent()) == 45
    assert set(site.everything_sent().values()) == {1}


def printed(*arguments: str) -> str:
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False).stdout


def test_two_runs_at_once_both_come_to_their_end_and_send_everything_once(site):
    with processes() as started:
        started += [Process("tests.scenarios.one_run", name) for name in ("first", "second")]
        with ThreadPoolExecutor() as threads:
            # The first to be through closes the ledger while the other one is at work.
            assert list(threads.map(lambda run: (run.until("ended"), run.end()), started)) == [("ended", 0)] * 2
    site.sync(run_id="third")
    assert len(site.everything_sent()) == 45
    assert set(site.everything_sent().values()) == {1}
