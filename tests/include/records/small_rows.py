"""Rows as small as can be, and what shapes them."""

from __future__ import annotations

from decimal import Decimal

from masivo_engine.mapping.aliases import Query
from masivo_engine.mapping.settings import Settings
from masivo_engine.model.rows import Entity
from masivo_engine.records.payload import PayloadBuilder


REWARD = "3c90c3cc-0d44-4b50-8888-8dd25736052a"


SETTINGS = Settings(timezone="America/Mexico_City")


CUSTOMER = {"id": "C1", "name": "Ana", "email": "Ana@example.com", "registration_date": "2024-01-15"}
LINE = {"customer_id": "C1", "reward_id": REWARD, "amount": 10}


TRANSACTION = {
    "customer_id": "C1",
    "transaction_id": "T1",
    "reward_id": REWARD,
    "details": "legacy:T1",
    "type": "ACCUMULATION",
    "issued_at": "2024-01-15",
    "resolved_at": "2024-01-15",
    "amount": Decimal("-12.50"),
}


def shaper(name: str, columns: list[str]) -> PayloadBuilder:
    entity, _, path = name.partition(".")
    return PayloadBuilder(Query(Entity(entity), path, "SELECT 1", f"{name}.sql"), columns, SETTINGS, newer_fields=False)
