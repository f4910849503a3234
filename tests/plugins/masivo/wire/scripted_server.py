"""
A server that plays a script on a real socket: every way in which an API or a network can answer, or
fail to.
"""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


BODY = b'{"customers":[{"id":"1"}]}'
KEY = "0b0f5a52-key-of-the-tests"


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as it arrived; *connection* counts the connections from 1."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int


Play = Callable[[socket.socket], bool]  # answers the request just read; whether the connection goes on


class ScriptedServer:
    """
    Plays one of *plays* per request and remembers the requests; after the last play it answers 500.

    Requests for a token are answered apart, with the next of *tokens* (the last one for ever), or
    by *authorize*.
    """

    def __init__(
        self,
        *plays: Play,
        tokens: Iterable[str] = ("a-token",),
        authorize: Play | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.seen: list[Seen] = []
        self.token_requests: list[Seen] = []
        self._plays = list(plays)
        self._tokens = list(tokens)
        self._authorize = authorize
        self._tls = tls
        self._connections: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        thread = threading.Thread(target=self._accept, daemon=True)
        self._threads.append(thread)
        thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for connection in self._connections:
                with suppress(OSError):  # it has gone before us
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)

    @property
    def connections(self) -> int:
        return len(self._connections)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self._connections.append(connection)
                number = len(self._connections)
            thread = threading.Thread(target=self._converse, args=(connection, number), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _converse(self, connection: socket.socket, number: int) -> None:
        try:
            if self._tls is not None:
                connection = self._connections[number - 1] = self._tls.wrap_socket(connection, server_side=True)
            with connection:
                while (request := _read(connection, number)) is not None and self._play(request)(connection):
                    pass
        except OSError:
            connection.close()

    def _play(self, request: Seen) -> Play:
        if request.path.endswith("/auth/authorize"):
            self.token_requests.append(request)
            if self._authorize is not None:
                return self._authorize
            token = self._tokens.pop(0) if len(self._tokens) > 1 else self._tokens[0]
            return answer(200, json.dumps({"data": token}).encode())
        self.seen.append(request)
        return self._plays.pop(0) if self._plays else answer(500)


def answer(status: int, body: bytes = b"", *, kind: str = "application/json", **headers: str) -> Play:
    """A whole answer; underscores of *headers* become hyphens."""

    def play(connection: socket.socket) -> bool:
        lines = [f"HTTP/1.1 {status} Scripted", f"Content-Length: {len(body)}", f"Content-Type: {kind}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        return headers.get("Connection") != "close"

    return play


def raw(data: bytes) -> Play:
    """Exactly *data*, then the end of the connection."""

    def play(connection: socket.socket) -> bool:
        connection.sendall(data)
        return False

    return play


def reset(connection: socket.socket) -> bool:
    """A reset after the request was read."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    return False


def drip(head: bytes = b"") -> Play:
    """*head*, and then a byte of a header at a time for as long as anybody listens."""

    def play(connection: socket.socket) -> bool:
        connection.sendall(head or b"HTTP/1.1 ")
        while True:
            connection.sendall(b"2" if not head else b"x")
            time.sleep(0.02)

    return play


def hang(connection: socket.socket) -> bool:
    """No answer, until the client goes."""
    connection.recv(1)
    return False


def then_close(play: Play) -> Play:
    """*play* as if the connection were kept, and then its silent end."""

    def closing(connection: socket.socket) -> bool:
        play(connection)
        return False

    return closing


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def jwt(seconds_from_now: float, **more: object) -> str:
    """A token that expires then, with *more* claims and a signature that nobody can check."""
    claims = {"exp": time.time() + seconds_from_now, **more}
    middle = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"e30.{middle}.c2lnbmF0dXJl"


def self_signed(folder: Path, *names: str) -> tuple[ssl.SSLContext, Path]:
    """A server's TLS context whose certificate nobody signed, and the certificate's file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "scripted")])
    now = dt.datetime.now(dt.UTC)
    hosts = [x509.DNSName(name) for name in names] + [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))] * (not names)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, secret = folder / "certificate.pem", folder / "key.pem"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, secret)
    return context, pem


def _read(connection: socket.socket, number: int) -> Seen | None:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return None
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = int(headers.get("content-length", 0))
    while len(body) < length:
        body += connection.recv(65536)
    method, path, _ = first.split(" ")
    return Seen(method, path, headers, body, number)
