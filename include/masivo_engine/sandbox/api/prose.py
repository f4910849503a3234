"""
The sentence of a 422: all that a client learns about a refused batch.

The contract promises two strings and nothing about their content (docs/api-facts.md#f-events,
``Error``); docs/api-facts.md#f-errors expects no index, no path and no id. So how much the sentence
tells, and what it calls a record by, are options.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from masivo_engine.sandbox.api.contract import Complaint, Entity
from masivo_engine.sandbox.options import Naming, Telling


_PROSE = "Invalid customer entry"  # the words of docs/api-facts.md#f-events


def prose(entity: Entity, body: Any, complaints: Sequence[Complaint], telling: Telling, naming: Naming) -> str:
    """The sentence for *complaints* about *body*, in the order in which the records stand there."""
    if telling is Telling.OPAQUE:
        return _PROSE
    named = sorted(complaints, key=lambda complaint: (complaint.customer or 0, complaint.item or 0))
    if telling is Telling.NAMES_ONE:
        named = named[:1]
    # A dict, not a set: what is said twice is said once, and the order stays.
    told = dict.fromkeys(_told(entity, body, complaint, naming) for complaint in named)
    return f"{_PROSE}: {'; '.join(told)}"


def _told(entity: Entity, body: Any, complaint: Complaint, naming: Naming) -> str:
    """
    *complaint* as prose: who, where, what. A name that is itself broken gives way to the place in
    the body.
    """
    if complaint.customer is None:
        return f"{complaint.where or 'the batch'} {complaint.problem}"
    name = f"customers[{complaint.customer}]"
    if complaint.item is not None:
        name += f".{entity}[{complaint.item}]"
    customer = body["customers"][complaint.customer]
    if isinstance(customer, dict) and naming is not Naming.INDEX:
        name = _name(entity, customer, complaint, naming) or name
    return f"{name} ({complaint.where or 'it'} {complaint.problem})"


def _name(entity: Entity, customer: dict[str, Any], complaint: Complaint, naming: Naming) -> str:
    value: Any = customer.get("id")
    if naming is Naming.EMAIL and entity is Entity.CUSTOMERS:
        value = customer.get("email")
    elif naming is Naming.KEY and complaint.item is not None:
        record = customer[entity][complaint.item]
        record = record if isinstance(record, dict) else {}
        order = record.get("order")
        value = record.get("details") if entity is Entity.TRANSACTIONS else None
        value = order.get("purchase_id") if isinstance(order, dict) and entity is Entity.EVENTS else value
    return f"'{value}'" if isinstance(value, str) and value else ""
