"""
A TCP proxy in front of a database, which can be cut, limited or made to swallow everything.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from typing import Self


_CHUNK = 65_536


class Proxy:
    """
    Forwards to *port* of this machine.

    `limit` bytes of the server's are passed on before everything is cut; 0 is no limit. A proxy
    that `swallows` accepts connections and bytes, and nothing ever comes back.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self.limit = 0
        self.swallows = False
        self._passed = 0
        self._pairs: list[tuple[socket.socket, socket.socket | None]] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """End every connection now; new ones are served."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
            self._passed = 0
        for pair in pairs:
            for end in pair:
                if end is not None:
                    with contextlib.suppress(OSError):
                        end.shutdown(socket.SHUT_RDWR)
                    end.close()

    def close(self) -> None:
        """Refuse new connections and end all others."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # closing alone would leave the accept under way
        self._listener.close()
        self.cut()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = None if self.swallows else socket.create_connection(("127.0.0.1", self._to))
            with self._lock:
                self._pairs.append((client, server))
            if server is not None:
                threading.Thread(target=self._forward, args=(client, server), daemon=True).start()

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError):
            while True:
                ready, _, _ = select.select([client, server], [], [], 60)
                for end in ready:
                    data = end.recv(_CHUNK)
                    if not data:
                        raise OSError
                    if end is server:
                        self._passed += len(data)
                        if self.limit and self._passed > self.limit:
                            raise OSError
                    (client if end is server else server).sendall(data)
        with contextlib.suppress(OSError):
            client.close()
            server.close()
