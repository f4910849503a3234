"""
Where one demo keeps everything: ``.demo/<data>/``.

It outlives the processes: a demo that was stopped half-way goes on with the same legacy database,
the same ledger and the same sandbox, at the same address, because the ledger is tied to the account
it delivers to.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from masivo_engine.model.errors import Misconfigured


ROOT = Path(__file__).parents[3]
# Below the range from which the system hands out ports by itself, so that a chosen port is still
# free tomorrow.
_PORTS = range(18_080, 18_980)


@dataclass(frozen=True, slots=True)
class Settings:
    """
    What a demo chose at its start and must keep: secrets of this machine only, and the sandbox's
    port.
    """

    sandbox_port: int
    jwt_secret: str
    fernet_key: str

    @classmethod
    def chosen(cls) -> Settings:
        """Return new settings: random secrets, a free port."""
        return cls(
            sandbox_port=free_port(),
            jwt_secret=secrets.token_urlsafe(32),
            fernet_key=base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        )


@dataclass(frozen=True, slots=True)
class Folder:
    """The files of one demo; *data* is ``sample`` or ``complete-journey``."""

    path: Path
    data: str

    @property
    def legacy(self) -> Path:
        return self.path / "legacy.db"

    @property
    def ledger(self) -> Path:
        return self.path / "ledger.db"

    @property
    def sandbox(self) -> Path:
        return self.path / "sandbox.db"

    @property
    def airflow(self) -> Path:
        return self.path / "airflow"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def environment(self) -> Path:
        return self.path / "env"

    @property
    def planted(self) -> Path:
        """What is wrong with the sample on purpose, for people."""
        return self.path / "planted.txt"

    @property
    def unfinished_run(self) -> Path:
        """
        Holds the DAG and the id of the Airflow run that this demo follows, until it has ended.
        """
        return self.path / "unfinished-run"

    def settings(self) -> Settings:
        """Return what this demo chose at its first start, choosing now if it is new."""
        path = self.path / "settings.json"
        if not path.exists():
            write_private(path, json.dumps(asdict(Settings.chosen()), indent=2))
        return Settings(**json.loads(path.read_text()))

    @contextmanager
    def held(self) -> Iterator[None]:
        """
        Hold the folder for this process alone, making it if need be.

        :raises Misconfigured: another demo holds it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        self.path.chmod(0o700)  # databases and logs of people, if only invented ones
        self.logs.mkdir(exist_ok=True)
        with (self.path / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Misconfigured(f"another `make demo` or `make up` is at work in {self.path}") from None
            yield

    def clear(self) -> None:
        """Remove everything but the lock, which may be held."""
        for entry in self.path.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            elif entry.name != "lock":
                entry.unlink()
        self.logs.mkdir()


def folder_of(data: str) -> Folder:
    """Return the folder of the demo on *data*."""
    return Folder(ROOT / ".demo" / data, data)


def latest() -> Folder | None:
    """Return the demo that wrote its ledger last, None where none has run."""
    ledgers = sorted((ROOT / ".demo").glob("*/ledger.db"), key=lambda file: file.stat().st_mtime)
    return folder_of(ledgers[-1].parent.name) if ledgers else None


def write_private(path: Path, text: str) -> None:
    """Write *text* to *path*, readable by its owner alone, whole or not at all."""
    part = path.with_name(f"{path.name}.part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    part.replace(path)


def free_port(*, but: int = 0) -> int:
    """
    Return a port of the loopback on which nothing listens, and not *but*; any, so that two
    checkouts seldom meet.
    """
    for port in secrets.SystemRandom().sample(_PORTS, len(_PORTS)):
        if port != but and is_free(port):
            return port
    raise Misconfigured(f"no port from {_PORTS.start} to {_PORTS.stop - 1} is free on 127.0.0.1")


def is_free(port: int) -> bool:
    """Whether a server could listen on *port* of the loopback."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free for a server
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
