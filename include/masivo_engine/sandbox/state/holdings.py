"""
A look at what the sandbox holds, for people and tests: counts, records by key, failures of the
queue.

Ground truth for a checker: what was accepted, how often, with what content, and what the queue made
of it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from masivo_engine.sandbox.api.contract import Entity
from masivo_engine.sandbox.state.store import Store


@dataclass(frozen=True, slots=True)
class Accepted:
    """
    One key that was accepted: *times* in how many records, *applied* how often the queue worked it
    off.

    *bodies* are its contents, one for each time and in their order, *failures* the queue's reasons.
    """

    key: str
    customer: str
    times: int
    applied: int
    bodies: tuple[dict[str, Any], ...]
    failures: tuple[str, ...]


def accepted(
    store: Store,
    entity: Entity,
    *,
    account: str = "",
    customer: str = "",
    key: str = "",
    limit: int = -1,
    offset: int = 0,
) -> list[Accepted]:
    """
    What was accepted of *entity*, by customer and key; empty arguments ask for all, *limit* -1 has
    no end.
    """
    narrowed = [(name, value) for name, value in (("account", account), ("customer", customer), ("key", key)) if value]
    where = "".join(f" AND {name} = ?" for name, _ in narrowed)
    with store.reading() as connection:
        rows = connection.execute(
            "SELECT key, customer, count(*), sum(applied), json_group_array(json_array(id, body)),"  # noqa: S608
            " json_group_array(DISTINCT failure) FILTER (WHERE failure <> '')"
            f" FROM record WHERE entity = ?{where} GROUP BY account, customer, key"
            " ORDER BY account, customer, key LIMIT ? OFFSET ?",
            (entity, *(value for _, value in narrowed), limit, offset),
        ).fetchall()
    return [
        Accepted(
            record_key,
            owner,
            times,
            applied,
            tuple(json.loads(body) for _, body in sorted(json.loads(bodies))),
            tuple(json.loads(failures)),
        )
        for record_key, owner, times, applied, bodies, failures in rows
    ]


def counts(store: Store) -> dict[str, dict[str, int]]:
    """
    Per entity: records accepted, different keys, visible, failed in the queue, still waiting, and
    applied twice or more.
    """
    with store.reading() as connection:
        rows = connection.execute(
            "SELECT entity, sum(times), count(*), sum(visible), sum(failed), sum(times - visible - failed),"
            " sum(applied > 1) FROM (SELECT entity, count(*) AS times, sum(applied > 0) AS visible,"
            " sum(failure <> '') AS failed, sum(applied) AS applied"
            " FROM record GROUP BY account, entity, customer, key) GROUP BY entity"
        ).fetchall()
    names = ("accepted", "keys", "visible", "failed", "waiting", "applied_more_than_once")
    found = {entity: dict(zip(names, numbers, strict=True)) for entity, *numbers in rows}
    return {str(entity): found.get(entity, dict.fromkeys(names, 0)) for entity in Entity}


def failures(store: Store, *, limit: int = -1, offset: int = 0) -> list[dict[str, Any]]:
    """What failed in the queue without anybody being told."""
    with store.reading() as connection:
        rows = connection.execute(
            "SELECT account, entity, customer, key, failure FROM record WHERE failure <> '' ORDER BY id LIMIT ?"
            " OFFSET ?",
            (limit, offset),
        ).fetchall()
    return [dict(zip(("account", "entity", "customer", "key", "failure"), row, strict=True)) for row in rows]


def waiting(store: Store) -> int:
    """How many accepted requests the queue has not worked off yet."""
    with store.reading() as connection:
        return int(connection.execute("SELECT count(*) FROM request WHERE settled = 0").fetchone()[0])
