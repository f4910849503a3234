"""
The socket, and a thread for each connection.
"""

from __future__ import annotations

import logging
import socket
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from masivo_engine.sandbox.api.api import Api


_log = logging.getLogger(__name__)


class Listener(ThreadingHTTPServer):
    """Listens at an address; *conversation* answers each client."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    api: Api

    def __init__(self, address: tuple[str, int], conversation: type[BaseHTTPRequestHandler]) -> None:
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(address, conversation)

    def opened(self, connection: socket.socket) -> None:
        """Remember *connection*, so that it ends when the sandbox does."""
        with self._lock:
            self._open.add(connection)

    def gone(self, connection: socket.socket) -> None:
        """Forget *connection*."""
        with self._lock:
            self._open.discard(connection)

    def hang_up(self) -> None:
        """End all connections: a kept-alive one would outlive the server."""
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the base class's names
        """Let clients come and go as they like; anything else is our own fault and is logged."""
        problem = sys.exception()
        if not isinstance(problem, OSError) and not self.api.closing.is_set():
            _log.error("the sandbox failed to answer a request", exc_info=problem)
