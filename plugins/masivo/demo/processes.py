"""
Starting programs so that none is left behind.

Every program leads a session of its own, and its number is written to a list on disk. Stopping
means: everything in those sessions, whatever process groups it made for itself (Airflow's scheduler
starts executors, those start supervisors, those start tasks; none leaves its session, and a mark in
the environment would not do, because Airflow overwrites it with the title of the process). A guard,
which is no member of any, stops them too when the demo itself dies, be it by ``kill -9``: the pipe
between the two closes with either.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from masivo_engine.model.errors import MigrationError


LAST_LINES = 15


class Died(MigrationError):
    """A program ended that should not have: *name*, its exit *code*, and its *log*."""

    def __init__(self, name: str, code: int, log: Path) -> None:
        super().__init__(name, code, log)
        self.name = name
        self.code = code
        self.log = log

    def __str__(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-LAST_LINES:]
        head = f"the {self.name} ended with {self.code}; the end of {self.log}:"
        return "\n".join([head, *(f"  {line}" for line in lines)])


@dataclass(frozen=True, slots=True)
class Program:
    """A program that was started, and where it writes."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        """
        Do nothing while the program runs.

        :raises Died: it does not any more.
        """
        code = self.process.poll()
        if code is not None:
            raise Died(self.name, code, self.log)

    def finish(self) -> None:
        """
        Wait for a program that ends by itself.

        :raises Died: it ended with an error.
        """
        if self.process.wait() != 0:
            self.check()


@dataclass(frozen=True, slots=True)
class Programs:
    """
    The programs that were started together; *path* is the list of their sessions, each with its
    time of birth.

    :param patience_s: how long all of them have to end, once the programs themselves have been
        asked, until they are killed.
    """

    path: Path
    patience_s: float = 6.0
    _started: list[subprocess.Popen[bytes]] = field(default_factory=list)  # kept until they have ended, to be reaped

    def start(self, name: str, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> Program:
        """Start ``python -m`` *arguments*; a Ctrl-C does not reach it."""
        return self.launch(name, [sys.executable, "-m", *arguments], environment, log)

    def launch(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        *,
        folder: Path | None = None,
    ) -> Program:
        """Start *command*, as its arguments stand, in *folder*; a Ctrl-C does not reach it."""
        with log.open("ab") as output:
            process = subprocess.Popen(
                command,
                env=dict(environment),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        with self.path.open("a") as sessions:
            sessions.write(f"{process.pid} {_birth(process.pid) or 0}\n")
        self._started.append(process)
        return Program(name, process, log)

    def running(self) -> list[psutil.Process]:
        """Return what still runs of them and of all that they started."""
        sessions = self._sessions()
        if not sessions:
            return []
        return [process for process in psutil.process_iter() if _session(process.pid) in sessions]

    def stop(self, *, is_done: bool = False) -> int:
        """
        Stop them and all that they started; return how many processes that were.

        The programs are asked first, so that they can end their own children in order; then
        everyone is (a scheduler waits for its tasks until it is asked again, and a request that is
        out deserves its answer); then killed.

        :param is_done: nothing is under way any more, so nobody needs time.
        """
        members = self.running()
        self._end(
            [process for process in members if process.pid in self._sessions()], patience_s=1.0 if is_done else 2.0
        )
        if not is_done:
            self._end(self.running(), patience_s=self.patience_s)
        self._end(self.running(), patience_s=5.0, by_force=True)
        for process in self._started:
            process.poll()
        self.path.unlink(missing_ok=True)
        return len(members)

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """
        Stop them at the end of the block, however it ends, the death of this process included.
        """
        with subprocess.Popen(
            [sys.executable, "-m", "masivo.demo.processes", str(self.path)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        ) as guard:
            is_done = False
            try:
                yield
                is_done = True
            finally:
                self.stop(is_done=is_done)
                if guard.stdin is not None:
                    guard.stdin.close()

    def _sessions(self) -> set[int]:
        """Return the sessions on the list, but for numbers that belong to somebody else by now."""
        if not self.path.exists():
            return set()
        listed = [line.split() for line in self.path.read_text().splitlines()]
        return {int(pid) for pid, birth in listed if _is_still(int(pid), float(birth))}

    def _end(self, processes: Sequence[psutil.Process], *, patience_s: float, by_force: bool = False) -> None:
        for process in processes:
            with suppress(psutil.Error):
                process.kill() if by_force else process.terminate()
        deadline = time.monotonic() + patience_s
        while (left := self.running()) and time.monotonic() < deadline:
            psutil.wait_procs(left, timeout=0.2)


def _birth(pid: int) -> float | None:
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return None


def _is_still(session: int, birth: float) -> bool:
    """
    Whether *session* is the one whose leader was born then: nobody else can have the number while
    it has members.
    """
    leader = _birth(session)
    return leader is None or abs(leader - birth) < 2  # the system's clock may have been set meanwhile


def _session(pid: int) -> int | None:
    try:
        session = os.getsid(pid)
        return None if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE else session
    except (psutil.Error, OSError):
        return None


if __name__ == "__main__":
    sys.stdin.read()
    Programs(Path(sys.argv[1])).stop()
