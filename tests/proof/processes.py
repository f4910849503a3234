"""
Real processes to kill, stop and wake up.

``python -m tests.proof.processes`` imports what a task needs, once, and forks a child for each line
that it reads; a child does what is left of a run, as a task would, and dies or stops at the crash
point that its line names. `Workers` is the other end.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any


ROOT = Path(__file__).parents[2]
# How a child ends that is not killed.
SENT, LATER, STOPPED, FENCED, BROKEN = 0, 3, 4, 5, 9
_PATIENCE_S = 60.0


@dataclass(slots=True)
class Workers:
    """
    The processes of one test. What they do is told in lines: pid, what happened, and the status or
    signal.
    """

    server: subprocess.Popen[str]
    _told: dict[int, list[tuple[str, int]]] = field(default_factory=dict)

    def start(
        self,
        legacy_url: str,
        run_id: str,
        *,
        at: str = "",
        entity: str = "",
        stops: bool = False,
        runs_out_of: str = "",
        pause_s: float = 20.0,
    ) -> int:
        """
        Fork a worker for *run_id*, with this process's connections; return its pid.

        It is killed, or with *stops* stopped, at the crash point *at*, which counts from the
        beginning of *entity*; or it goes on there, and *runs_out_of* ``memory`` or ``disk``.
        *pause_s* is how long it may have been away before a POST and send all the same.
        """
        environment = {name: value for name, value in os.environ.items() if name.startswith(("AIRFLOW_", "MASIVO_"))}
        job = {"env": environment, "legacy": legacy_url, "run": run_id, "at": at, "entity": entity, "stops": stops}
        job |= {"pause_s": pause_s, "runs_out_of": runs_out_of}
        assert self.server.stdin is not None
        self.server.stdin.write(json.dumps(job) + "\n")
        self.server.stdin.flush()
        while True:
            pid, what, _ = self._next()
            if what == "started":
                return pid

    def wait(self, pid: int, what: str = "ended") -> int:
        """
        Wait until *pid* has ``ended`` or ``stopped``; return its exit status, or the signal below
        zero.
        """
        while not any(happened == what for happened, _ in self._told.get(pid, ())):
            self._next()
        return next(status for happened, status in self._told[pid] if happened == what)

    def run(self, legacy_url: str, run_id: str, **options: Any) -> int:
        """Start a worker and wait for its end."""
        return self.wait(self.start(legacy_url, run_id, **options))

    def _next(self) -> tuple[int, str, int]:
        assert self.server.stdout is not None
        ready, _, _ = select.select([self.server.stdout], [], [], _PATIENCE_S)
        line = self.server.stdout.readline() if ready else ""
        if not line:
            raise AssertionError("the worker processes say nothing any more")
        pid, what, status = json.loads(line)
        self._told.setdefault(pid, []).append((what, status))
        return pid, what, status


@contextmanager
def workers() -> Iterator[Workers]:
    """Start what forks workers, and end it with all of them."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "include"), str(ROOT / "plugins")])
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.proof.processes"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": paths},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    try:
        yield Workers(server)
    finally:
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.close()
        server.wait(_PATIENCE_S)
        server.stdout.close()


def serve() -> None:
    """
    Fork a child for each line of standard input, and tell what becomes of it, until the input ends.
    """
    from tests.proof import rig  # noqa: F401, PLC0415 (imported once, so that the children need not)

    # Airflow logs to standard output; what is told there must stay apart.
    told = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    children: set[int] = set()
    is_open = True
    while is_open or children:
        ready, _, _ = select.select([sys.stdin] if is_open else [], [], [], 0.005)
        if ready:
            line = sys.stdin.readline()
            is_open = bool(line)
            if line:
                pid = os.fork()
                if not pid:
                    _work(json.loads(line))
                children.add(pid)
                _tell(told, pid, "started", 0)
        elif not is_open:
            for pid in children:
                os.kill(pid, signal.SIGKILL)
        _reap(children, told)


def _reap(children: set[int], told: IO[str]) -> None:
    with suppress(ChildProcessError):
        while children:
            pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
            if not pid:
                return
            if os.WIFSTOPPED(status):
                _tell(told, pid, "stopped", os.WSTOPSIG(status))
            else:
                children.discard(pid)
                _tell(told, pid, "ended", os.waitstatus_to_exitcode(status))


def _tell(told: IO[str], pid: int, what: str, status: int) -> None:
    told.write(json.dumps([pid, what, status]) + "\n")


def _work(job: dict[str, Any]) -> None:
    """
    Do what is left of a run, in a child of its own, and leave without the parent's cleaning up.
    """
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.update(job["env"])
    status = BROKEN
    try:
        status = _worked(job)
    except BaseException:  # noqa: BLE001 (the parent's loop must not go on in the child)
        traceback.print_exc()
    finally:
        with suppress(OSError, MemoryError):  # there may be neither disk nor memory for it
            sys.stderr.flush()
        os._exit(status)


def _worked(job: dict[str, Any]) -> int:
    from masivo_engine import crash_points  # noqa: PLC0415
    from masivo_engine.delivery import sender  # noqa: PLC0415
    from masivo_engine.ledger.writing import lease_keeper  # noqa: PLC0415
    from masivo_engine.model.errors import Fenced, Stopped, TryAgainLater  # noqa: PLC0415
    from masivo_engine.model.rows import Entity  # noqa: PLC0415
    from tests.proof.rig import hurried, work_on  # noqa: PLC0415
    from tests.variables import as_in_the_parent  # noqa: PLC0415
    from tests.whole_migration import Trip  # noqa: PLC0415

    entities = tuple(Entity)
    first = entities.index(Entity(job["entity"])) if job["entity"] else 0
    with hurried():
        sender._LONGEST_PAUSE_BEFORE_POST_S = job["pause_s"]
        lease_keeper.renew = _between_stops(lease_keeper.renew)
        as_in_the_parent()
        trip = Trip(None, job["legacy"])  # type: ignore[arg-type]  # the sandbox lives in the parent
        try:
            if first:
                work_on(trip, job["run"], entities=entities[:first])
            if job["at"]:
                crash_points.set_trap(
                    crash_points.trap_at(job["at"], _stop if job["stops"] else _ENDS.get(job["runs_out_of"]))
                )
            work_on(trip, job["run"], entities=entities[first:])
        except TryAgainLater:
            return LATER
        except Stopped:
            return STOPPED
        except Fenced:
            return FENCED
        finally:
            trip.close()
    return SENT


def _between_stops(write: Callable[..., None]) -> Callable[..., None]:
    """
    Make of what another thread writes what no stop interrupts: who is stopped within a write keeps
    SQLite's lock until it wakes up.
    """

    def renew(*args: Any) -> None:
        with _writing:
            write(*args)

    return renew


def _stop() -> None:
    with _writing:
        os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(0.01)  # a stop may reach us an instant later


def _exhaust_memory() -> None:
    """
    Take all memory that there is under a limit, and keep it: whatever needs some from now on fails.

    Python waits for ever for a thread that has no memory to say that it runs; then somebody ends
    the process after a while, as they would.
    """
    signal.alarm(_LONGEST_WITHOUT_MEMORY_S)
    with Path("/proc/self/statm").open() as sizes:
        used = int(sizes.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**20, resource.RLIM_INFINITY))
    size = 2**20
    while size > 64:
        try:
            _taken.append(bytearray(size))
        except MemoryError:
            size //= 2


def _end_disk() -> None:
    """
    Let every write past the first byte of a file fail, as on a disk that is broken: EFBIG is an I/O
    error to SQLite.
    """
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))


_writing = threading.Lock()
_LONGEST_WITHOUT_MEMORY_S = 15
_taken: list[bytearray] = []
_ENDS = {"memory": _exhaust_memory, "disk": _end_disk}


if __name__ == "__main__":
    serve()
