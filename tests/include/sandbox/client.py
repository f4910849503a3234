"""
A client that hides nothing: one connection, no retries, no redirects, the standard library's errors
as they come.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from masivo_engine.sandbox.api.api import BASE
from masivo_engine.sandbox.options import DEFAULT_KEY, Options
from masivo_engine.sandbox.wire.server import Sandbox


CUSTOMERS = "/customers/migrate"
EVENTS = "/customers/migrate/events"
TRANSACTIONS = "/customers/migrate/transactions"
UNHURRIED: dict[str, Any] = {"interval_s": 0, "per_hour": 0, "delay_s": 0}


@dataclass(frozen=True, slots=True)
class Response:
    """What came back; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """
    Talks to *port*; the token is fetched at once, and patiently, unless one is given. *timeout*
    holds from then on.
    """

    def __init__(self, port: int, *, key: str = DEFAULT_KEY, token: str | None = None, timeout: float = 10) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.token = ""
        self.token = self.authorize(key).json["data"] if token is None else token
        self.connection.timeout = timeout
        if self.connection.sock:
            self.connection.sock.settimeout(timeout)

    def authorize(self, key: str) -> Response:
        return self.send("GET", f"{BASE}/auth/authorize", headers={"x-api-key": key})

    def post(self, path: str, body: Any, **headers: str) -> Response:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.send("POST", BASE + path, raw, {"Content-Type": "application/json", **headers})

    def get(self, path: str) -> Response:
        return self.send("GET", BASE + path)

    def view(self, name: str) -> Any:
        return self.send("GET", f"/view/{name}").json

    def send(self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] = {}) -> Response:
        authorization = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        self.connection.request(method, path, body, {**authorization, **headers})
        answer = self.connection.getresponse()
        return Response(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())

    def close(self) -> None:
        self.connection.close()


class Playground(Sandbox):
    """A sandbox that brings its clients along and sends them home."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._clients: list[Client] = []

    def client(self, **given: Any) -> Client:
        """A client with a connection of its own; arguments as `Client`'s."""
        client = Client(self.port, **given)
        self._clients.append(client)
        return client

    def close(self) -> None:
        for client in self._clients:
            client.close()
        super().close()


def sandbox(**options: Any) -> Playground:
    """A sandbox without limits and delays, unless they are given."""
    return Playground(Options(**{**UNHURRIED, **options}))
