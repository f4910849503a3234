"""
What the guards say of a plan: how much of what was delivered it would change, or miss, whatever the
cause.

A mapping that changed explains rows that read otherwise and keys that are others now. What a person
chose for it lets these pass.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from masivo_engine.forecast.forecast import Forecast
from masivo_engine.ledger.connection import Ledger
from masivo_engine.mapping.loader import Mapping
from masivo_engine.model.limits import Limits
from masivo_engine.model.rows import Entity
from masivo_engine.planning.guards import Alarm, Guard, after_forecast, without_customer
from masivo_engine.planning.mapping_change import ADOPT, ASK, FROM_NOW_ON, SEND_ALL, is_remapped


# What another mapping explains, once a person has chosen.
_EXPLAINED = (Guard.ROWS_DIFFER, Guard.KEYS_CHANGED)
_LETS_PASS = {SEND_ALL: _EXPLAINED, ADOPT: _EXPLAINED, FROM_NOW_ON: _EXPLAINED[:1]}


def effects(
    ledger: Ledger,
    mapping: Mapping,
    made: Forecast,
    limits: Limits,
    *,
    read_whole: Collection[Entity],
    choice: str = ASK,
) -> Iterator[Alarm]:
    """
    Yield what is unusual about the forecast *made* with *mapping*, but for what the *choice* of a
    person explains. Of the entities *read_whole* every row is read.
    """
    explained = _LETS_PASS.get(choice, ())
    for one in made.entities:
        for alarm in after_forecast(
            ledger,
            one.entity,
            arrived=one.arrived,
            remade=one.remade,
            new=one.records - one.resent - one.again,
            is_everything=one.entity in read_whole,
            is_remapped=is_remapped(ledger, mapping, one.entity),
            limits=limits,
        ):
            if alarm.guard not in explained:
                yield alarm
        missing = sum(rows for (_, reason, _), (rows, _) in one.news.items() if reason == "customer_missing")
        yield from without_customer(
            ledger, one.entity, rows=one.rows, missing=missing, has_customers=made.has_customers
        )
