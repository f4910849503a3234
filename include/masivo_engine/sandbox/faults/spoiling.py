"""
What the queue does wrong to single records, long after its 201: for those who prove that a
read-back finds it.

`faults` spoil whole requests on their way; here one record that was worked off is lost, doubled,
moved in time or given the other sign.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from masivo_engine.sandbox.api.contract import Entity
from masivo_engine.sandbox.state.store import Store


class Spoil(StrEnum):
    """What is done to a record: of a customer, to its balance; and to its dates of issue."""

    LOSE = "lose"
    DOUBLE = "double"
    SHIFT = "shift"
    FLIP = "flip"


def spoil(store: Store, entity: Entity, key: str, what: Spoil, *, hours: float = 6.0) -> None:
    """
    Do *what* to the record of *entity* with *key* that is visible; *hours* is how far `Spoil.SHIFT`
    moves it.

    What is shown changes, and so does what `holdings.accepted` tells of it; the journal keeps what
    was accepted.

    :raises LookupError: there is no such record, or the queue has not worked it off.
    """
    with store.writing() as connection:
        row = connection.execute(
            "SELECT id, body FROM record WHERE entity = ? AND key = ? AND applied > 0 ORDER BY id DESC LIMIT 1",
            (entity, key),
        ).fetchone()
        if row is None:
            raise LookupError(f"no visible record of {entity} has the key {key!r}")
        number, body = row[0], json.loads(row[1])
        if what is Spoil.LOSE:
            connection.execute("UPDATE record SET applied = 0, failure = 'lost' WHERE id = ?", (number,))
            connection.execute("DELETE FROM identity WHERE record = ?", (number,))
        elif what is Spoil.DOUBLE:
            connection.execute("UPDATE record SET applied = 2 WHERE id = ?", (number,))
        else:
            spoilt = _shifted(body, hours) if what is Spoil.SHIFT else _flipped(body)
            text = json.dumps(spoilt, sort_keys=True, ensure_ascii=False)
            connection.execute("UPDATE record SET body = ? WHERE id = ?", (text, number))


def _shifted(body: dict[str, Any], hours: float) -> dict[str, Any]:
    moved = {name: _later(body[name], hours) for name in ("issued_at", "registration_date") if body.get(name)}
    return {**body, **moved}


def _later(text: str, hours: float) -> str:
    return (datetime.fromisoformat(text) + timedelta(hours=hours)).isoformat().replace("+00:00", "Z")


def _flipped(body: dict[str, Any]) -> dict[str, Any]:
    if "amount" in body:
        return {**body, "amount": -body["amount"]}
    return {**body, "balance": [{**line, "amount": -line["amount"]} for line in body.get("balance", [])]}
