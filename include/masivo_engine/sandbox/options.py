"""
Everything that can be set about the sandbox, with what Masivo documents as defaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from masivo_engine.sandbox.api.catalogue import REWARDS, TIERS
from masivo_engine.sandbox.faults.faults import Script


DEFAULT_KEY = "sandbox-key"  # stands for an API key on machines where nothing is secret


class Telling(StrEnum):
    """
    How much the prose of a 422 says. The contract promises nothing (docs/api-facts.md#f-errors).
    """

    OPAQUE = "opaque"
    NAMES_ONE = "names_one"
    NAMES_ALL = "names_all"


class Naming(StrEnum):
    """
    What the prose of a 422 calls a record by: customer id, e-mail, its own key, or its place in the
    body.
    """

    ID = "id"
    EMAIL = "email"
    KEY = "key"
    INDEX = "index"


class Refusal(StrEnum):
    """
    Where a thing that may exist only once is refused the second time: at the door with a 422, or
    silently behind it.
    """

    AT_ONCE = "at_once"
    IN_QUEUE = "in_queue"


class Existing(StrEnum):
    """
    What becomes of a customer whose id the account has already (docs/api-facts.md#u5: not
    documented, so all are played).

    The newer content takes the place of the older one, balance included; or it is refused as any
    other duplicate; or the worst: it takes its place and the balance is added to what was there.
    """

    UPDATE = "update"
    REFUSE = "refuse"
    DOUBLE = "double"


class Leaves(StrEnum):
    """
    What a 422 leaves taken of its batch (docs/api-facts.md#u8: not documented, so all are played).

    Nothing; the good records; or those that stand before the first bad one, where a batch is worked
    off in order: then also part of a customer's transactions.
    """

    NOTHING = "nothing"
    GOOD = "good"
    BEFORE = "before"


class Filing(StrEnum):
    """
    By which year ``GET /customers/{id}/transactions`` finds a transaction (docs/api-facts.md#u24:
    not documented, so all are played).

    That of *issued_at* in UTC, or in America/Bogota as an account's own calendar has it; or that in
    which it was taken.
    """

    UTC = "utc"
    LOCAL = "local"
    CREATED = "created"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """
    How the sandbox behaves. All times are seconds of the world that it plays; *speed* lets that
    world run faster.

    :param port: 0 takes any free one.
    :param store: the SQLite file that holds everything; ``None`` keeps it in memory.
    :param journal: the file of what happened; by default beside *store*, or a temporary one.
    :param accounts: API key to account name; the migration limits are an account's.
    :param interval_s: least time from start to start of two migration requests
        (docs/api-facts.md#f-limits); 0 lifts it.
    :param per_hour: most migration requests within an hour (Dev 250, Prod 1000); 0 lifts it.
    :param delay_s: from the 201 until the work is visible.
    :param outages: spans after the start, in seconds, in which the queue stands still.
    :param record_limit: most records of one request (docs/api-facts.md#f-caps).
    :param body_bytes: larger bodies get a 413 (not documented, docs/api-facts.md#u14).
    :param atomic: whether a 422 refuses the whole batch; else its good records are taken all the
        same (docs/api-facts.md#u8).
    :param leaves: what it leaves of one address, by entity, where that differs from *atomic*.
    :param existing: what becomes of a customer whose id the account has; an id twice in one request
        is refused in any case.
    :param duplicates: where a second customer with the same e-mail, or an id that is refused, is
        refused.
    :param second_transactions: where a customer's second delivery of transactions is refused.
    :param unknown_customers: where events and transactions of a customer who is not visible yet are
        refused.
    :param poison: keys of records that are refused although they keep the contract.
    :param poison_rate: the share of all keys to refuse besides, chosen by *seed*.
    :param transactions_months: how far ``GET /customers/{id}/transactions`` looks back without a
        year; 0 is no limit.
    :param filed_by: by which year it finds a transaction.
    :param rewards: the account's rewards, names by id in lower case; *tiers* likewise.
    :param control: whether ``POST /view/faults`` may replace the script.
    :param speed: 100 makes an hour pass in 36 seconds: limits, delays, tokens and the waits that
        faults ask for.
    :param clock_skew_s: how far the server's Date header is ahead of this machine's clock.
    :param hang_s: how long a hanging fault hangs; *drip_s* is slow-loris's time per byte, *late_s*
        the delay of ``late_ok``.
    :param retry_after_s: what faults with a plain Retry-After ask for.
    """

    host: str = "127.0.0.1"
    port: int = 0
    store: Path | None = None
    journal: Path | None = None
    accounts: Mapping[str, str] = field(default_factory=lambda: {DEFAULT_KEY: "sandbox"})
    token_lifetime_s: float = 3600.0
    interval_s: float = 5.0
    per_hour: int = 1000
    delay_s: float = 2.0
    outages: tuple[tuple[float, float], ...] = ()
    record_limit: int = 1000
    body_bytes: int = 5_000_000
    telling: Telling = Telling.OPAQUE
    naming: Naming = Naming.ID
    atomic: bool = True
    leaves: Mapping[str, Leaves] = field(default_factory=dict)
    existing: Existing = Existing.UPDATE
    duplicates: Refusal = Refusal.AT_ONCE
    second_transactions: Refusal = Refusal.IN_QUEUE
    unknown_customers: Refusal = Refusal.IN_QUEUE
    poison: frozenset[str] = frozenset()
    poison_rate: float = 0.0
    seed: int = 0
    transactions_months: int = 0
    filed_by: Filing = Filing.UTC
    rewards: Mapping[str, str] = field(default_factory=lambda: dict(REWARDS))
    tiers: Mapping[str, str] = field(default_factory=lambda: dict(TIERS))
    faults: Script = field(default_factory=Script)
    control: bool = False
    speed: float = 1.0
    clock_skew_s: float = 0.0
    hang_s: float = 120.0
    drip_s: float = 0.5
    late_s: float = 30.0
    retry_after_s: float = 2.0

    def __post_init__(self) -> None:
        for name in ("token_lifetime_s", "interval_s", "per_hour", "delay_s", "hang_s", "drip_s", "late_s"):
            if getattr(self, name) < 0:
                raise ValueError(f"sandbox option {name} is below zero; give 0 or more")
        if self.speed <= 0 or self.record_limit < 1 or self.body_bytes < 1:
            raise ValueError("sandbox options speed, record_limit and body_bytes must be above zero")
        if not 0 <= self.poison_rate <= 1:
            raise ValueError("sandbox option poison_rate is a share: give a number from 0 to 1")
        if not self.accounts:
            raise ValueError("sandbox option accounts is empty; give at least one API key with its account's name")

    def left_by_a_refusal(self, entity: str) -> Leaves:
        """What a 422 leaves taken of a batch of *entity*."""
        return self.leaves.get(entity, Leaves.NOTHING if self.atomic else Leaves.GOOD)

    def real_s(self, seconds: float) -> float:
        """How long *seconds* of the sandbox's world last on this machine."""
        return seconds / self.speed
