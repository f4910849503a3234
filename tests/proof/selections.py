"""
Runs tests of the suite with an engine that is broken, many times in a row, each time broken
otherwise.

All that are asked for are collected once, in a process of its own. For each way to break the
engine that process forks: the child breaks it, runs what is to notice, and is gone. So a test costs
what it takes, without a start of Python and an import of Airflow, and nothing stays broken.
"""

from __future__ import annotations

import os
import pickle
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from unittest import mock

import pytest


ROOT = Path(__file__).parents[2]
_PRELOADED = ["tests.conftest", "tests.proof.rig", "tests.databases.changing", "hypothesis.stateful"]
# What was imported before pytest starts cannot have its assertions rewritten; no test is.
_OPTIONS = ("-q", "-s", "-p", "no:xdist", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning")
# What ends a test where the broken code is no code that could run: then nothing was found.
_NO_CODE = ("NameError", "UnboundLocalError", "AttributeError", "TypeError", "sqlalchemy.exc.")
_AT_ONCE = os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class Selection:
    """The *tests* to be run, as node ids, once *breaks* has broken the engine. Is pickled."""

    breaks: Callable[[], None]
    tests: Sequence[str]


@dataclass(frozen=True, slots=True)
class Told:
    """
    What a selection said: how many tests *ran*, why some *failed*, by node id, and the *problem*
    where they could not be run.
    """

    ran: int = 0
    failed: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""

    @property
    def has_passed(self) -> bool:
        """Whether there were tests, and none failed."""
        return bool(self.ran and not self.failed and not self.problem)

    @property
    def has_found(self) -> bool:
        """Whether a test failed because the engine is not as it says."""
        return not self.problem and any(not why.startswith(_NO_CODE) for why in self.failed.values())


def run_all(selections: Sequence[Selection]) -> list[Told]:
    """Run *selections*, as many at once as there are cores, and return what each said."""
    context = get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    receiving, sending = context.Pipe(duplex=False)
    paths = [str(ROOT), str(ROOT / "include"), str(ROOT / "plugins"), os.environ.get("PYTHONPATH", "")]
    with mock.patch.dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, paths))):
        process = context.Process(target=_collect_and_run, args=(selections, sending))
        process.start()
    sending.close()
    try:
        told: list[Told] = receiving.recv()
    finally:
        process.join()
    return told


def _collect_and_run(selections: Sequence[Selection], sending: Connection) -> None:
    os.chdir(ROOT)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
    forks = _Forks(selections)
    code = pytest.main([*_OPTIONS, *sorted({test for one in selections for test in one.tests})], plugins=[forks])
    missing = Told(problem=f"pytest ended with {code!r} before it ran")
    sending.send([forks.told.get(number, missing) for number in range(len(selections))])


@dataclass(eq=False)
class _Forks:
    """A plugin of pytest that runs the collected tests in children, a selection in each."""

    selections: Sequence[Selection]
    told: dict[int, Told] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            self.failed[report.nodeid] = crash.message if crash else str(report.longrepr)

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            return True  # a module could not be imported
        children: dict[int, tuple[int, int]] = {}
        for number, selection in enumerate(self.selections):
            if len(children) == _AT_ONCE:
                self._wait_for_one(children)
            reading, writing = os.pipe()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # nothing that is forked here has a thread
                child = os.fork()
            if not child:
                self._play(session, selection, writing)
            os.close(writing)
            children[child] = number, reading
        while children:
            self._wait_for_one(children)
        return True

    def _wait_for_one(self, children: dict[int, tuple[int, int]]) -> None:
        # Whoever has something to say has ended: it says all of it at once.
        (ready, *_) = wait([reading for _, reading in children.values()])
        child = next(child for child, (_, reading) in children.items() if reading == ready)
        number, reading = children.pop(child)
        with os.fdopen(reading, "rb") as pipe:
            said = pipe.read()
        os.waitpid(child, 0)
        self.told[number] = pickle.loads(said) if said else Told(problem="the process died")

    def _play(self, session: pytest.Session, selection: Selection, writing: int) -> None:
        """Run *selection* in this process, which ends with it."""
        try:
            told = self._said(session, selection)
        except BaseException as error:  # noqa: BLE001 (whatever it is, it must not go on as a second session)
            told = Told(problem=f"{type(error).__name__}: {error}")
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(pickle.dumps(told))
        os._exit(0)

    def _said(self, session: pytest.Session, selection: Selection) -> Told:
        items = [item for item in session.items if _is_one_of(item, selection.tests)]
        selection.breaks()
        ran = 0
        for item in items:
            # The next one is named so that what a module shares is made once.
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=items[-1])
            ran += 1
            if self.failed:
                break
        session._setupstate.teardown_exact(None)
        return Told(ran, self.failed)


def _is_one_of(item: pytest.Item, tests: Sequence[str]) -> bool:
    # A rule is broken on each dialect alike, and in a file soonest.
    is_on_a_server = any(dialect in item.name for dialect in ("postgres", "mariadb"))
    return not is_on_a_server and any(
        item.nodeid == test or item.nodeid.startswith((f"{test}::", f"{test}[")) for test in tests
    )
