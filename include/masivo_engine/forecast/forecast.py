"""
The forecast: what a run will do to every row, found out by doing everything but sending.

It reads, maps, validates, hashes, judges and packs the rows of the run as the tasks will, with the
same stations, and tells how many will end in which state and why, in how many requests and hours,
and what they are worth. The API's own refusals are the only thing that it cannot know. Costs one
more reading of the rows; memory is one page, the open batches, and one number per month, reward and
tier.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import orjson

from masivo_engine.batching.lower_bound import least_with_tail
from masivo_engine.batching.packers import Packer, one_request, packer_for
from masivo_engine.batching.tail import Tail
from masivo_engine.batching.units import by_customer, units_of
from masivo_engine.forecast.projection import Projection
from masivo_engine.ledger.connection import Ledger
from masivo_engine.ledger.rows import Known
from masivo_engine.ledger.runs.asked import open_places
from masivo_engine.ledger.runs.runs import Run
from masivo_engine.model.batches import Batch
from masivo_engine.model.judged import Judged
from masivo_engine.model.limits import Limits, hours, lane_hours
from masivo_engine.model.reasons import REASONS
from masivo_engine.model.rows import Entity, Record, State
from masivo_engine.model.runs import Covers, Slice, Window
from masivo_engine.readback.spread import Spread
from masivo_engine.records.stream import record_pages
from masivo_engine.source.prefetch import gc_paused
from masivo_engine.source.reader import Source
from masivo_engine.sql import MOST_KEYS
from masivo_engine.triage.sets import SetsBeside
from masivo_engine.triage.triage import MOST_SUSPECTS, Decisions, Judgement, Triage


_TOKEN_HOURS = 1.0  # docs/api-facts.md#f-token


@dataclass(slots=True)
class Expected:
    """
    What will become of the rows of one entity.

    *records* are those that will be sent at most, in *requests* of *sent_bytes*; *resent* of them
    were delivered before with other content, *again* of them are in doubt, and go only where a
    read-back shows that they have not arrived. *new* has a few of the customers who were not. Of
    *arrived* rows, which the API has, *remade* read otherwise although their change times stand.
    *never_sent* will count as delivered (adopted) although the ledger never sent them. *why* counts
    rows and points by state, reason and column, *news* those of them that had not ended so before.
    *left_out* are rows of the whole database that the mapping does not read, by its reason.
    """

    entity: Entity
    rows: int = 0
    records: int = 0
    resent: int = 0
    again: int = 0
    never_sent: int = 0
    arrived: int = 0
    remade: int = 0
    requests: int = 0
    sent_bytes: int = 0
    states: Counter[str] = field(default_factory=Counter)
    why: dict[tuple[str, str, str], tuple[int, Decimal]] = field(default_factory=dict)
    news: dict[tuple[str, str, str], tuple[int, Decimal]] = field(default_factory=dict)
    customers: Counter[int] = field(default_factory=Counter)
    new: Spread = field(default_factory=Spread)
    left_out: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Worth:
    """
    The value of what will be sent: points by reward, by tier and by month, and money by month.
    """

    balances: dict[str, Decimal] = field(default_factory=dict)
    transactions: dict[str, Decimal] = field(default_factory=dict)
    tiers: dict[str, tuple[int, Decimal]] = field(default_factory=dict)
    months: dict[str, Decimal] = field(default_factory=dict)
    money: dict[str, Decimal] = field(default_factory=dict)

    def add(self, record: Record) -> None:
        """Add what *record* is worth."""
        payload = orjson.loads(record.body)
        match record.entity:
            case Entity.CUSTOMERS:
                for reward, amount in record.balance.items():
                    _add(self.balances, reward, amount)
                tier = str((payload.get("metrics") or {}).get("lifetime", {}).get("tier_id") or "")
                count, points = self.tiers.get(tier, (0, Decimal(0)))
                self.tiers[tier] = count + 1, points + record.points
            case Entity.TRANSACTIONS:
                _add(self.transactions, record.reward, record.points)
                _add(self.months, str(payload.get("issued_at") or "")[:7], record.points)
            case Entity.EVENTS:
                order = payload.get("order") or {}
                _add(self.money, str(payload.get("issued_at") or "")[:7], Decimal(str(order.get("value") or 0)))


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a run will do. *has_customers*: the source has some, or nobody has asked it for them."""

    covers: str
    entities: tuple[Expected, ...]
    worth: Worth
    limits: Limits
    has_customers: bool = True

    @property
    def requests(self) -> int:
        """Requests that carry records."""
        return sum(entity.requests for entity in self.entities)

    @property
    def hours(self) -> float:
        """Hours on the lane."""
        return lane_hours(self.requests, self.limits)

    def share(self, state: State) -> float:
        """Return which part of all rows will end in *state*."""
        rows = sum(entity.rows for entity in self.entities)
        return sum(entity.states[state] for entity in self.entities) / rows if rows else 0.0

    def as_json(self) -> dict[str, Any]:
        """Return it as plain JSON values; amounts are text, so that no digit is lost."""
        return {
            "covers": self.covers,
            "requests": self.requests,
            "hours": round(self.hours, 4),
            "token_refreshes": int(self.hours / _TOKEN_HOURS),
            "entities": {one.entity.value: self._entity(one) for one in self.entities},
            "reasons": self._reasons(),
            "left_out": [
                {"entity": one.entity.value, "reason": reason, "rows": rows}
                for one in self.entities
                for reason, rows in one.left_out.items()
            ],
            "worth": {
                "balances": _plain(self.worth.balances),
                "transactions": _plain(self.worth.transactions),
                "tiers": {
                    tier: {"customers": n, "points": str(p)} for tier, (n, p) in sorted(self.worth.tiers.items())
                },
                "points_by_month": _plain(self.worth.months),
                "money_by_month": _plain(self.worth.money),
            },
        }

    def _entity(self, one: Expected) -> dict[str, Any]:
        sizes = (count for size, customers in one.customers.items() for count in [size] * customers)
        least = least_with_tail(one.entity, sizes, self.limits)
        return {
            "rows": one.rows,
            "states": {state.value: one.states[state] for state in State},
            "records": one.records,
            "resent": one.resent,
            "again": one.again,
            "never_sent": one.never_sent,
            "requests": one.requests,
            "least_requests": least,
            "fill": round(one.records / (one.requests * self.limits.records), 4) if one.requests else 0.0,
            "bytes": one.sent_bytes,
            "hours": round(lane_hours(one.requests, self.limits), 4),
        }

    def _reasons(self) -> list[dict[str, Any]]:
        found = [
            {
                "entity": one.entity.value,
                "state": state,
                "reason": reason,
                "column": column,
                "rows": rows,
                "points": str(points),
                "new": one.news.get((state, reason, column), (0, Decimal(0)))[0],
                "new_points": str(one.news.get((state, reason, column), (0, Decimal(0)))[1]),
            }
            for one in self.entities
            for (state, reason, column), (rows, points) in one.why.items()
        ]
        return sorted(found, key=lambda line: (-line["rows"], line["entity"], line["reason"]))


def as_text(made: Forecast) -> str:
    """Write *made* for people."""
    states = [state.value for state in State if state is not State.CONFIRMED]
    lines = [f"the plan · {made.covers}", "", _line("", ["read", *states, "requests", "fill"])]
    for one in made.entities:
        fill = f"{one.records / (one.requests * made.limits.records):.1%}" if one.requests else ""
        counts = [one.rows, *(one.states[state] for state in states), one.requests]
        lines.append(_line(one.entity, [*(f"{count:,}" for count in counts), fill]))
    resent = sum(one.resent for one in made.entities)
    sent_bytes = sum(one.sent_bytes for one in made.entities)
    lines += [
        "",
        (
            f"{made.requests:,} requests, {sent_bytes / 1e6:,.1f} MB, {hours(made.hours)} on the lane,"
            f" {int(made.hours / _TOKEN_HOURS):,} token refreshes; {resent:,} records were delivered before with other"
            " content"
        ),
    ]
    if again := sum(one.again for one in made.entities):
        lines.append(
            f"{again:,} of the records are in doubt: they are read back first, and sent again only if that shows that"
            " the API does not have them"
        )
    if never_sent := sum(one.never_sent for one in made.entities):
        lines.append(
            f"{never_sent:,} rows that this ledger never sent will count as delivered (adopted): nothing of them goes"
        )
    for reward, amount in sorted(made.worth.balances.items()):
        moved = made.worth.transactions.get(reward, Decimal(0))
        lines.append(f"reward {reward}: balances {amount:,}, transactions {moved:,}")
    troubles = [line for line in made.as_json()["reasons"] if line["state"] != State.UNCHANGED]
    if troubles:
        lines += ["", "what will not go, most rows first"]
    for line in troubles:
        column = f" ({line['column']})" if line["column"] else ""
        reason = REASONS[line["reason"]]
        where = f"{line['entity']:<13}{line['state']}, {line['reason']}{column}"
        lines.append(f"  {line['rows']:>8,}  {where}: {reason.means}; {reason.do}")
    for one in made.entities:
        lines += [f"left out by the mapping: {rows:,} {one.entity}, {reason}" for reason, rows in one.left_out.items()]
    return "\n".join(line.rstrip() for line in lines)


def _line(name: str, cells: Iterable[str]) -> str:
    return f"{name:<13}" + "".join(f"{cell:>12}" for cell in cells)


class Forecaster:
    """
    Makes the forecast of *run*: its slices as they are planned, and what waited and will be free.
    """

    def __init__(
        self, ledger: Ledger, run: Run, limits: Limits, twins: Mapping[Entity, Mapping[str, int]] | None = None
    ) -> None:
        self._twins = twins or {}
        self._ledger = ledger
        self._run = run
        self._limits = limits
        self._covers = Covers.from_json(run.covers)

    def forecast(self, legacies: Sequence[Source], slices: Mapping[Entity, Sequence[Slice]]) -> Forecast:
        """Do everything but sending, entity by entity, parents first."""
        worth = Worth()
        with gc_paused(), Projection.of(self._ledger, self._run.number) as projection:
            expected = tuple(
                self._entity(legacy, slices.get(legacy.entity, ()), projection, worth)
                for legacy in legacies
                if legacy.entity in self._covers.windows
            )
        customers = [legacy for legacy in legacies if legacy.entity is Entity.CUSTOMERS]
        has_customers = not any(legacy.is_empty() for legacy in customers)
        return Forecast(str(self._covers), expected, worth, self._limits, has_customers)

    def _entity(self, legacy: Source, slices: Sequence[Slice], projection: Projection, worth: Worth) -> Expected:
        entity = legacy.entity
        found = Expected(entity, left_out=legacy.left_out())
        window = self._covers.windows[entity]
        for part in slices:
            _Slice(legacy, part, projection, self, found, worth).read([window])
        if self._covers.takes_up_open and not window.is_everything:
            number = len(slices) + 1
            part = Slice(entity, number, number, None, None, 0, selects="places")
            asked = open_places(self._ledger, entity, most=MOST_KEYS)
            _Slice(legacy, part, projection, self, found, worth).read(Window(places=tuple(some)) for some in asked)
        return found

    def tail(self, part: Slice) -> Tail:
        """Return what keeps the last request of *part* back, as the tasks do it."""
        replaces = part.entity is Entity.CUSTOMERS and self._ledger.resends == "replace"
        return Tail(part.entity, is_needed=part.number == part.of and not replaces)

    def triage(self, legacy: Source, part: Slice, projection: Projection) -> Triage:
        """Return the judge of *part*."""

        def judging(source: Source, sets: SetsBeside | None = None) -> Triage:
            entity, run = source.entity, self._run.number
            # What a probe has not shown yet counts as sent: a plan says at most.
            resends = self._ledger.resends or "replace"
            decided = Decisions.of(entity, source.policies, self._covers.policies, resends)
            number, twins = part.number, self._twins.get(entity, {})
            return Triage(
                entity, projection, source, self._limits, decided, run=run, number=number, twins=twins, sets=sets
            )

        has_sets = part.entity is Entity.CUSTOMERS and legacy.has_beside(Entity.TRANSACTIONS)
        return judging(legacy, SetsBeside(legacy, judging) if has_sets else None)

    def packer(self, entity: Entity) -> Packer:
        """Return a packer as the tasks use."""
        return packer_for(entity, self._limits)


class _Slice:
    """Works one slice off, without sending anything."""

    def __init__(
        self, legacy: Source, part: Slice, projection: Projection, telling: Forecaster, found: Expected, worth: Worth
    ) -> None:
        self._legacy = legacy
        self._part = part
        self._projection = projection
        self._triage = telling.triage(legacy, part, projection)
        self._packer = telling.packer(part.entity)
        self._tail = telling.tail(part)
        self._found = found
        self._worth = worth
        self._suspects: list[list[Record]] = []
        self._doubtful: list[Record] = []

    def read(self, windows: Iterable[Window]) -> None:
        """Read and judge the rows of *windows*, pack what would be sent, and count."""
        for window in windows:
            for page in filter(None, record_pages(self._legacy, self._part, window)):
                judged = self._triage.judge(page)
                self._found.rows += len(page) - judged.met_again
                self._note(judged)
                for unit in self._tail.keep_back(judged.units, _touched(judged)):
                    self._take(self._packer.add(unit))
                self._suspects += judged.suspects
                self._doubtful += _sent_again(judged)
                if len(self._suspects) > MOST_SUSPECTS:
                    self._take_suspects()
        self._take_suspects()
        self._take(self._packer.close())
        if tail := self._tail.take():
            self._take([one_request([tail], 1)])
        self._take_doubtful()

    def _take_doubtful(self) -> None:
        """Count what is in doubt as if none of it had arrived: a plan says at most."""
        self._found.again += len(self._doubtful)
        for records in by_customer(self._doubtful).values():
            self._found.customers[len(records)] += 1
        for unit in units_of(self._doubtful):
            self._take(self._packer.add(unit))
        self._take(self._packer.close())
        self._doubtful = []

    def _take_suspects(self) -> None:
        suspects, self._suspects = self._suspects, []
        for group in suspects:
            self._take(self._packer.add(group))

    def _take(self, batches: Iterable[Batch]) -> None:
        for batch in batches:
            self._found.requests += 1
            self._found.records += len(batch.records)
            self._found.sent_bytes += len(batch.body)

    def _note(self, judged: Judgement) -> None:
        entity, found = self._part.entity, self._found
        sent = [record for unit in (*judged.units, *judged.suspects) for record in unit]
        for record in sent:
            self._worth.add(record)
        resent = {
            record.place for record in sent if record.place in judged.known and judged.known[record.place].has_arrived
        }
        found.resent += len(resent)
        found.remade += sum(_is_remade(one, judged.known) for one in judged.judged)
        found.arrived += sum(one.place in judged.known and judged.known[one.place].has_arrived for one in judged.judged)
        found.never_sent += judged.never_sent
        found.states[State.DELIVERED] += len(sent)
        for customer_records in Counter(record.customer for record in sent).values():
            found.customers[customer_records] += 1
        for one in judged.judged:
            if not one.verdict.is_sent:
                self._count(one, judged.known.get(one.place))
        self._projection.note(entity, judged.judged)
        if entity is Entity.CUSTOMERS:
            for record in sent:
                if record.place not in resent:
                    found.new.add(record.key)

    def _count(self, one: Judged, known: Known | None) -> None:
        verdict = one.verdict
        self._found.states[verdict.state] += 1
        if not verdict.reason:
            return
        line = verdict.state.value, verdict.reason, verdict.column
        is_news = known is None or (known.state, known.reason) != (verdict.state, verdict.reason)
        for counted in (self._found.why, self._found.news) if is_news else (self._found.why,):
            rows, points = counted.get(line, (0, Decimal(0)))
            counted[line] = rows + 1, points + one.row.points


def _sent_again(judged: Judgement) -> list[Record]:
    """Return what is sent again if a read-back shows that what is out has not arrived."""
    stay = {one.place for one in judged.judged if one.verdict.reason in ("stray", "differs")}
    return [row for row in judged.unsettled if isinstance(row, Record) and row.place not in stay]


def _touched(judged: Judgement) -> set[str]:
    """Return the places of which the API has something, or may have."""
    return {place for place, row in judged.known.items() if row.has_arrived or row.is_out or row.strays}


def _is_remade(one: Judged, known: Mapping[str, Known]) -> bool:
    """Whether a delivered row reads otherwise although its own change time did not move."""
    row = known.get(one.place)
    content = one.row.content_hash if isinstance(one.row, Record) else None
    return (
        row is not None
        and row.has_arrived
        and (content, one.row.customer) != (row.has_hash, row.has_customer)
        and one.row.changed == row.changed
        and (row.hash, row.customer) == (row.has_hash, row.has_customer)
    )


def _add(amounts: dict[str, Decimal], name: str, amount: Decimal) -> None:
    amounts[name] = amounts.get(name, Decimal(0)) + amount


def _plain(amounts: Mapping[str, Decimal]) -> dict[str, str]:
    return {name: str(amount) for name, amount in sorted(amounts.items())}
