"""
The bytes of an answer, and what else can be done to a connection.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, BinaryIO


JSON = ("Content-Type", "application/json; charset=utf-8")
TEXT = ("Content-Type", "text/plain; charset=utf-8")
HTML = ("Content-Type", "text/html; charset=utf-8")
_LINGER_S = 2.0


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer before it is bytes. Date, Content-Length and Connection are added on the way."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    @classmethod
    def of(cls, document: Any, status: int = 200) -> Reply:
        """An answer that carries *document* as JSON."""
        return cls(status, (JSON,), json.dumps(document, ensure_ascii=False).encode())

    @classmethod
    def problem(cls, status: int, error: str, details: str) -> Reply:
        """The one error body that Masivo documents (docs/api-facts.md#f-events, ``Error``)."""
        return cls.of({"error": error, "details": details}, status)

    @classmethod
    def page(cls, text: str, status: int = 200) -> Reply:
        """A web page."""
        return cls(status, (HTML,), f"<!doctype html>\n{text}\n".encode())

    def with_headers(self, *headers: tuple[str, str]) -> Reply:
        """The same answer with more *headers*."""
        return Reply(self.status, (*self.headers, *headers), self.body)


class Wire:
    """
    One connection of a client. *is_over* once nothing more can be said on it.

    :param closing: set when the sandbox stops, which ends every pause.
    :param skew_s: how far the server's clock seems to be ahead.
    """

    def __init__(self, connection: socket.socket, incoming: BinaryIO, closing: threading.Event, skew_s: float) -> None:
        self._connection = connection
        self._incoming = incoming
        self._closing = closing
        self._skew_s = skew_s
        self.is_over = False
        self.resets_next = False

    def now(self) -> float:
        """The server's clock, in seconds since 1970."""
        return time.time() + self._skew_s

    def encoded(self, reply: Reply, *, length: int | None = None) -> bytes:
        """*reply* as bytes; *length* is a Content-Length that lies."""
        headers = [("Date", formatdate(self.now(), usegmt=True)), ("Server", "masivo-sandbox"), *reply.headers]
        if reply.status != HTTPStatus.NO_CONTENT:
            headers.append(("Content-Length", str(len(reply.body) if length is None else length)))
        head = "".join(f"{name}: {value}\r\n" for name, value in headers)
        return f"HTTP/1.1 {reply.status} {_phrase(reply.status)}\r\n{head}\r\n".encode("latin-1") + reply.body

    def answer(self, reply: Reply) -> None:
        """Send *reply* properly."""
        self.send(self.encoded(reply))

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._connection.sendall(data)

    def pause(self, seconds: float) -> bool:
        """Let *seconds* pass; whether the sandbox is still running then."""
        return not self._closing.wait(seconds)

    def reset(self) -> None:
        """End the connection by a TCP reset."""
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.is_over = True
        # The file on the socket keeps it open, so both must go.
        self._incoming.close()
        self._connection.close()

    def end(self) -> None:
        """
        End the connection in order, whatever the client still sends: its words are read, or a reset
        would eat ours.
        """
        self.is_over = True
        self._connection.shutdown(socket.SHUT_WR)
        self._connection.settimeout(_LINGER_S)
        deadline = time.monotonic() + _LINGER_S
        try:
            while self._connection.recv(65536) and time.monotonic() < deadline:
                pass
        except OSError:
            pass


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
