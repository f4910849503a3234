"""
The HTTP of it: reads a request, asks the API, writes the journal, answers or misbehaves. One object
per connection.

Order of things at a migration: token (401), limiter (429), fault, body, size (413), door (400, 422,
201). So a fault is played only to requests that the API would have looked at, and "the third
request" means the third of those.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

from masivo_engine.sandbox.api.api import BASE, MIGRATIONS, UNAUTHORIZED, Api, Outcome
from masivo_engine.sandbox.api.contract import Entity
from masivo_engine.sandbox.faults.faults import Script
from masivo_engine.sandbox.faults.misbehaviour import (
    BEFORE_THE_BODY,
    FATES,
    is_instead,
    play_after,
    play_instead,
    status_after,
)
from masivo_engine.sandbox.state.journal import Line
from masivo_engine.sandbox.wire.listener import Listener
from masivo_engine.sandbox.wire.view import document, page
from masivo_engine.sandbox.wire.wire import Reply, Wire


_APP = Reply.page("<title>Masivo</title><h1>Masivo</h1><p>This is the app, not the API.</p>")
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Call:
    """One request as it arrived: *path* is below the base path, times are its first line's."""

    sequence: int
    monotonic_s: float
    started_at: float
    method: str
    path: str
    query: Mapping[str, str]


class Conversation(BaseHTTPRequestHandler):
    """All requests of one connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Listener

    def setup(self) -> None:
        """Take up the connection."""
        super().setup()
        self._api: Api = self.server.api
        self._wire = Wire(self.connection, cast("Any", self.rfile), self._api.closing, self._api.options.clock_skew_s)
        self.server.opened(self.connection)

    def finish(self) -> None:
        """Leave the connection."""
        self.server.gone(self.connection)
        if not self.rfile.closed:
            super().finish()

    def parse_request(self) -> bool:
        """Note when the request's first line arrived, or meet it with a reset."""
        self._monotonic_s, self._started_at = time.monotonic(), time.time()
        if self._wire.resets_next:
            self._wire.reset()
            self.close_connection = True
            return False
        return super().parse_request()

    def do_GET(self) -> None:
        """Answer a GET."""
        self._converse()

    def do_POST(self) -> None:
        """Answer a POST."""
        self._converse()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing: the journal has it all, and paths hold customers' ids."""

    def _converse(self) -> None:
        url = urlsplit(self.path)
        query = dict(parse_qsl(url.query))
        if "Transfer-Encoding" in self.headers or not self.headers.get("Content-Length", "0").isdecimal():
            # Nobody knows where such a body ends, so the connection must end.
            self._wire.answer(Reply.problem(411, "Length Required", "Content-Length is missing"))
            self._wire.end()
            self.close_connection = True
            return
        if url.path == "/view" or url.path.startswith("/view/"):
            self._show(url.path, query)
        elif url.path.startswith(f"{BASE}/"):
            path = url.path.removeprefix(BASE)
            number = self._api.next_sequence()
            self._serve(Call(number, self._monotonic_s, self._started_at, self.command, path, query))
        else:
            # Masivo's app lives on the same host and answers whatever is asked
            # (docs/api-facts.md#f-page).
            self._body()
            number = self._api.next_sequence()
            call = Call(number, self._monotonic_s, self._started_at, self.command, url.path, query)
            self._note(call, "", Outcome(_APP, "not_found"), status=200)
            self._wire.answer(_APP)
        self.close_connection = self.close_connection or self._wire.is_over

    def _serve(self, call: Call) -> None:
        account = self._api.tokens.account(self.headers.get("Authorization", "")) or ""
        entity = MIGRATIONS.get(call.path) if call.method == "POST" else None
        is_key_asked = call.method == "GET" and call.path == "/auth/authorize"
        limits: tuple[tuple[str, str], ...] = ()
        refused = None
        if not account and not is_key_asked:
            refused = Outcome(UNAUTHORIZED, "unauthorized")
        elif entity is not None:
            ruling = self._api.limiter.rule(account, call.monotonic_s)
            limits = ruling.headers
            if not ruling.allowed:
                refused = Outcome(Reply.problem(429, "Too Many Requests", "Migration limit reached"), "limited")

        fault = "" if refused else self._api.director.fault_for(call.method, call.path)
        if fault in BEFORE_THE_BODY:
            self._misbehave_instead(call, account, fault, b"")
            return
        raw = self._body()
        if raw is None:
            self._note(call, account, Outcome(Reply(0), "cut_off"), status=0)
            return
        if refused is None and not fault:
            fault = self._api.director.fault_for(call.method, call.path, raw)
        if refused is None and is_instead(fault):
            self._misbehave_instead(call, account, fault, raw)
            return
        if fault == "late_ok" and not self._wire.pause(self._api.options.real_s(self._api.options.late_s)):
            return

        outcome = refused or self._outcome(call, account, entity, raw, FATES.get(fault, ""))
        reply = outcome.reply.with_headers(*limits)
        status = status_after(fault, reply)
        self._note(call, account, outcome, status=status, raw=raw, fault=fault)
        play_after(fault, self._wire, self._api.options, reply)

    def _outcome(self, call: Call, account: str, entity: Entity | None, raw: bytes, fate: str) -> Outcome:
        if call.path == "/auth/authorize":
            return self._api.authorize(self.headers.get("x-api-key", ""))
        if entity is None:
            if call.method == "GET":
                return self._api.look_up(account, call.path, call.query)
            return Outcome(Reply.problem(404, "Not Found", "No such resource"), "not_found")
        if self.headers.get_content_type() != "application/json" or self.headers.get("Content-Encoding"):
            problem = Reply.problem(415, "Unsupported Media Type", "Content-Type must be application/json")
            return Outcome(problem, "malformed")
        return self._api.migrate(entity, account, raw, sequence=call.sequence, fate=fate)

    def _misbehave_instead(self, call: Call, account: str, fault: str, raw: bytes) -> None:
        self._note(call, account, Outcome(Reply(0), "not_taken"), status=0, raw=raw, fault=fault)
        play_instead(fault, self._wire, self._api.options, call.path)
        self.close_connection = self.close_connection or fault in BEFORE_THE_BODY

    def _note(
        self, call: Call, account: str, outcome: Outcome, *, status: int, raw: bytes = b"", fault: str = ""
    ) -> None:
        line = Line(
            sequence=call.sequence,
            monotonic_s=call.monotonic_s,
            started_at=call.started_at,
            account=account,
            method=call.method,
            path=call.path,
            verdict=outcome.verdict,
            status=status,
            sha256=hashlib.sha256(raw).hexdigest() if raw else "",
            size=len(raw),
            records=outcome.records,
            accepted=outcome.accepted,
            fault=fault,
        )
        self._api.journal.append(line, durable=call.method == "POST" or bool(fault))

    def _body(self) -> bytes | None:
        """
        The request's body; of one that is too large only so much that this can be seen. ``None``:
        it broke off.
        """
        left = int(self.headers.get("Content-Length", "0"))
        limit = self._api.options.body_bytes
        kept = bytearray()
        while left:
            chunk = self.rfile.read(min(left, _CHUNK))
            if not chunk:
                self.close_connection = True
                return None
            left -= len(chunk)
            kept += chunk[: limit + 1 - len(kept)]
        return bytes(kept)

    def _show(self, path: str, query: Mapping[str, str]) -> None:
        raw = self._body() or b""
        if self.command == "POST":
            reply = self._controlled(path, raw)
        elif path in {"/view", "/view/"}:
            reply = page(self._api)
        else:
            reply = document(self._api, path.removeprefix("/view/"), query)
        self._wire.answer(reply)

    def _controlled(self, path: str, raw: bytes) -> Reply:
        if path != "/view/faults" or not self._api.options.control:
            return Reply.problem(
                403, "Forbidden", "The view is read-only; start the sandbox with control to script faults"
            )
        try:
            self._api.director.follow(Script.from_json(json.loads(raw)))
        except ValueError as problem:
            return Reply.problem(HTTPStatus.UNPROCESSABLE_ENTITY, "Unprocessable Entity", str(problem))
        return Reply(204)
