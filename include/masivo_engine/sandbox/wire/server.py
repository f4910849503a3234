"""
The sandbox as a running server: in a thread for tests (`Sandbox`), in the foreground for people
(`serve`).
"""

from __future__ import annotations

import errno
import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import Any, Self

from masivo_engine.sandbox.api.api import BASE, Api
from masivo_engine.sandbox.api.contract import Entity
from masivo_engine.sandbox.faults.faults import Script
from masivo_engine.sandbox.faults.spoiling import Spoil, spoil
from masivo_engine.sandbox.options import Options
from masivo_engine.sandbox.state import holdings
from masivo_engine.sandbox.state.journal import Line, read
from masivo_engine.sandbox.wire.conversation import Conversation
from masivo_engine.sandbox.wire.listener import Listener


class PortBusy(OSError):
    """Another program listens where the sandbox should."""


class Sandbox:
    """
    A sandbox that runs from its construction until `close`. A context manager.

    ``with Sandbox(Options(delay_s=0)) as sandbox: requests.get(sandbox.url + "/auth/authorize",
    ...)``

    :raises PortBusy: the port is in use.
    :raises OSError: the address or the store cannot be used; the sentence says why.
    """

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or Options()
        # The port comes first: a second sandbox on the same store must not touch what the first one
        # holds.
        self._listener = _listener(self.options)
        try:
            self.api = self._listener.api = Api(self.options)
        except BaseException:
            self._listener.server_close()
            raise
        self.port = int(self._listener.server_address[1])
        self._thread = threading.Thread(
            target=self._listener.serve_forever, kwargs={"poll_interval": 0.05}, name="sandbox-listener", daemon=True
        )
        self._thread.start()

    @property
    def origin(self) -> str:
        """``http://host:port``."""
        return f"http://{self.options.host}:{self.port}"

    @property
    def url(self) -> str:
        """The API's base address, as Masivo's ``servers`` entry ends."""
        return f"{self.origin}{BASE}"

    def follow(self, script: Script) -> None:
        """Play *script* from now on."""
        self.api.director.follow(script)

    def lines(self) -> list[Line]:
        """The journal so far."""
        return list(read(self.api.journal.path))

    def accepted(self, entity: str, *, account: str = "", customer: str = "", key: str = "") -> list[holdings.Accepted]:
        """What was accepted of *entity*, by customer and key; empty arguments ask for all."""
        self.api.backlog.settle_due()
        return holdings.accepted(self.api.store, Entity(entity), account=account, customer=customer, key=key)

    def counts(self) -> dict[str, dict[str, int]]:
        """
        Per entity, how many records were accepted, are visible, failed in the queue, or wait
        (`holdings.counts`).
        """
        self.api.backlog.settle_due()
        return holdings.counts(self.api.store)

    def failures(self) -> list[dict[str, Any]]:
        """What failed in the queue without anybody being told."""
        self.api.backlog.settle_due()
        return holdings.failures(self.api.store)

    def spoil(self, entity: str, key: str, what: Spoil, *, hours: float = 6.0) -> None:
        """Let something go wrong with one visible record (`spoiling.Spoil`)."""
        self.api.backlog.settle_due()
        spoil(self.api.store, Entity(entity), key, what, hours=hours)

    def is_poison(self, key: str) -> bool:
        """Whether the record with *key* is refused although it keeps the contract."""
        return self.api.intake.is_poison(key)

    def close(self) -> None:
        """Stop listening, end all connections and close the files. Again is harmless."""
        if self.api.closing.is_set():
            return
        self.api.closing.set()
        self._listener.shutdown()
        self._listener.hang_up()
        self._listener.server_close()
        self._thread.join()
        self.api.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _listener(options: Options) -> Listener:
    try:
        return Listener((options.host, options.port), Conversation)
    except OSError as problem:
        if problem.errno != errno.EADDRINUSE:
            sentence = (
                f"cannot listen on {options.host}:{options.port} ({problem.strerror}); give another address or port"
            )
            raise OSError(problem.errno, sentence) from problem
        sentence = f"port {options.port} of {options.host} is in use; stop what listens there or give another"
        raise PortBusy(errno.EADDRINUSE, sentence) from problem


def serve(options: Options) -> None:
    """
    Run in the foreground until SIGTERM or SIGINT; the first line says where.

    :raises PortBusy: the port is in use.
    """
    stopping = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopping.set()

    with Sandbox(options) as sandbox:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        sys.stdout.write(f"Masivo sandbox: API {sandbox.url}  view {sandbox.origin}/view  stop with Ctrl-C\n")
        sys.stdout.flush()
        stopping.wait()
