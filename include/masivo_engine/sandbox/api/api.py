"""
The sandbox behind its sockets: who may, what is taken, what can be read, and a line in the journal
for each.
"""

from __future__ import annotations

import itertools
import re
import secrets
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.parse import unquote

from masivo_engine.sandbox.api import catalogue
from masivo_engine.sandbox.api.contract import Entity
from masivo_engine.sandbox.api.intake import Intake
from masivo_engine.sandbox.api.limiter import Limiter
from masivo_engine.sandbox.api.readback import Wanted, customer_document, transactions_of
from masivo_engine.sandbox.api.tokens import Tokens
from masivo_engine.sandbox.faults.faults import Director
from masivo_engine.sandbox.options import Existing, Options, Refusal
from masivo_engine.sandbox.state.backlog import Backlog
from masivo_engine.sandbox.state.journal import Journal, Line, read
from masivo_engine.sandbox.state.store import Store
from masivo_engine.sandbox.wire.wire import Reply


BASE = "/api/storefront/v1"
MIGRATIONS: Mapping[str, Entity] = {entity.path: entity for entity in Entity}
UNAUTHORIZED = Reply.problem(401, "Unauthorized", "Invalid or expired token")

_CUSTOMER = re.compile(r"/customers/(?P<id>[^/]+)(?P<transactions>/transactions)?")
_HOUR_S = 3600.0
_VERDICTS = {200: "read", 404: "not_found"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What the API made of a request: its *reply* if nothing goes wrong, and what the journal says of
    it.
    """

    reply: Reply
    verdict: str
    records: int = 0
    accepted: tuple[tuple[str, str], ...] = ()


class Api:
    """Everything that outlives a connection. Thread-safe."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.started_at = time.time()
        self.closing = threading.Event()
        self.store = Store(options.store)
        self.limiter = Limiter(
            interval_s=options.real_s(options.interval_s),
            per_hour=options.per_hour,
            hour_s=options.real_s(_HOUR_S),
            fractions=options.speed != 1,
        )
        secret = self.store.fixed("token_secret", secrets.token_hex(32))
        self.tokens = Tokens(secret, options.accounts, options.real_s(options.token_lifetime_s))
        self.director = Director(options.faults)
        self.intake = Intake(self.store, options, self.started_at)
        self.backlog = Backlog(self.store, options.existing)
        self._scratch = tempfile.TemporaryDirectory(prefix="masivo-sandbox-")
        self.journal = Journal(_journal_path(options, Path(self._scratch.name)))
        self._sequence = itertools.count(self._made_good() + 1)
        self._lock = threading.Lock()
        self.backlog.start()

    def next_sequence(self) -> int:
        """The number of the next request, counted over restarts."""
        with self._lock:
            return next(self._sequence)

    def authorize(self, api_key: str) -> Outcome:
        """``GET /auth/authorize``."""
        token = self.tokens.issue(api_key)
        if token is None:
            return Outcome(Reply.problem(401, "Unauthorized", "Invalid API key"), "unauthorized")
        return Outcome(Reply.of({"data": token}), "read")

    def migrate(self, entity: Entity, account: str, raw: bytes, *, sequence: int, fate: str) -> Outcome:
        """One of the three POSTs; what is accepted is on the disk when this returns."""
        if len(raw) > self.options.body_bytes:
            return TOO_LARGE
        if self.options.unknown_customers is Refusal.AT_ONCE:
            self.backlog.settle_due()
        judgement = self.intake.take(entity, account, raw, sequence=sequence, fate=fate)
        if judgement.accepted:
            self.backlog.notice()
        if judgement.status == HTTPStatus.CREATED:
            return Outcome(Reply(201), "accepted", judgement.records, judgement.accepted)
        reply = Reply.problem(judgement.status, judgement.error, judgement.details)
        if judgement.status == HTTPStatus.BAD_REQUEST:
            return Outcome(reply, "malformed")
        verdict = "partly_accepted" if judgement.accepted else "refused"
        return Outcome(reply, verdict, judgement.records, judgement.accepted)

    def look_up(self, account: str, path: str, query: Mapping[str, str]) -> Outcome:
        """
        ``GET /customers/{id}``, ``GET /customers/{id}/transactions``, and what `catalogue` shows.
        """
        known = catalogue.shown(path, query, self.options.rewards, self.options.tiers)
        if known is not None:
            return Outcome(known, _VERDICTS.get(known.status, "malformed"))
        match = _CUSTOMER.fullmatch(path)
        if match is None:
            return Outcome(Reply.problem(404, "Not Found", "No such resource"), "not_found")
        self.backlog.settle_due()
        customer_id = unquote(match["id"])
        if match["transactions"]:
            year = query.get("year", "")
            if year and not (year.isascii() and year.isdigit()):
                return Outcome(Reply.problem(400, "Bad Request", "year is no number"), "malformed")
            wanted = Wanted(
                year=year,
                reward_id=query.get("reward_id", ""),
                brand_id=query.get("brand_id", ""),
                type=query.get("type", ""),
                months=self.options.transactions_months,
                filed_by=self.options.filed_by,
            )
            document: object = transactions_of(self.store, account, customer_id, wanted)
        else:
            document = customer_document(
                self.store, account, customer_id, adds_up=self.options.existing is Existing.DOUBLE
            )
        if document is None:
            return Outcome(Reply.problem(404, "Not Found", "Customer not found"), "not_found")
        return Outcome(Reply.of({"data": document}), "read")

    def close(self) -> None:
        """End every pause, stop the queue, close the files."""
        self.closing.set()
        self.backlog.close()
        self.journal.close()
        self.store.close()
        self._scratch.cleanup()

    def _made_good(self) -> int:
        """
        Write the journal's lines that a crash kept from being written; the highest number in use.
        """
        highest = 0
        told: set[int] = set()
        for line in read(self.journal.path):
            highest = max(highest, line.sequence)
            if line.accepted:
                told.add(line.sequence)
        for request, keys in self.store.accepted_beside(told):
            highest = max(highest, request.sequence)
            line = Line(
                sequence=request.sequence,
                monotonic_s=0.0,
                started_at=request.accepted_at,
                account=request.account,
                method="POST",
                path=request.entity.path,
                verdict="recovered",
                sha256=request.sha256,
                size=request.size,
                records=len(keys),
                accepted=tuple(keys),
            )
            self.journal.append(line, durable=True)
        return highest


TOO_LARGE = Outcome(Reply.problem(413, "Payload Too Large", "Request body is too large"), "too_large")


def _journal_path(options: Options, scratch: Path) -> Path:
    if options.journal is not None:
        return options.journal
    if options.store is not None:
        return options.store.with_name(options.store.name + ".journal.jsonl")
    return scratch / "journal.jsonl"
