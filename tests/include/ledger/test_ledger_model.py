"""
Whatever was done to a ledger: its account, and what is known of a key, are what a plain look at
every entry finds.

The code asks so that an index answers; here each entry is read and counted by hand.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from masivo_engine.ledger.history.entries import ADOPTED, known, last_delivered, sent_of
from masivo_engine.ledger.history.waiting import waiting
from sqlalchemy import delete, insert, select, update

from masivo_engine.batching.lower_bound import least_requests
from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import now
from masivo_engine.ledger.runs.retention import prune
from masivo_engine.ledger.verification import pending
from masivo_engine.mapping.settings import Policies
from masivo_engine.model.batches import BatchState, Receipt
from masivo_engine.model.errors import Fenced, LedgerError, TryAgainLater
from masivo_engine.model.limits import Limits
from masivo_engine.model.reasons import RESENT_UNPROVEN
from masivo_engine.model.rows import Entity, Entry, Rejection, State
from masivo_engine.planning import replay
from masivo_engine.planning.replay import SEND_AGAIN, Chosen
from masivo_engine.reports.account import account
from tests.builders import batch, begin, customer, event, transaction


pytestmark = pytest.mark.slow


RUNS, SLICES, KEYS = 3, 2, 12
LIMITS = st.sampled_from(
    [Limits(), Limits(records=2, customers=3), Limits(records=3, customers=2), Limits(records=3, customers=1)]
)
REASONS = ["", "missing_value", "changed_after_delivery", "run_stopped", ADOPTED, RESENT_UNPROVEN]

entities = st.sampled_from(list(Entity))
some_keys = st.lists(st.integers(0, KEYS - 1), min_size=1, max_size=6, unique=True)
places = st.tuples(st.integers(0, RUNS - 1), entities, st.integers(1, SLICES))
outcomes = st.sampled_from(
    [
        "packed",
        "sending",
        "given_back",
        "unpacked",
        "packed anew",
        *(one.value for one in (BatchState.DELIVERED, BatchState.IN_DOUBT, BatchState.REFUSED)),
    ]
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("claim"), places),
        st.tuples(st.just("send"), places, some_keys, outcomes, st.booleans(), st.booleans()),
        st.tuples(st.just("send"), places, some_keys, outcomes, st.booleans(), st.booleans()),
        st.tuples(st.just("judge"), places, some_keys, st.sampled_from(list(State)), st.sampled_from(REASONS)),
        st.tuples(
            st.just("enter"), places, some_keys, st.sampled_from(list(State)), st.sampled_from(REASONS), st.booleans()
        ),
        st.tuples(
            st.just("settle"),
            places,
            some_keys,
            st.sampled_from([State.DELIVERED, State.SUPERSEDED, State.QUARANTINED]),
        ),
        st.tuples(st.just("confirm"), some_keys),
        st.tuples(st.just("settle by a person"), some_keys, st.sampled_from([replay.DELIVERED, SEND_AGAIN])),
        st.tuples(st.just("forget"), st.integers(0, RUNS - 1)),
    ),
    min_size=8,
    max_size=30,
)


class Walk:
    """A ledger to which anything is done that the code can do, in whatever order."""

    def __init__(self, ledger):
        self.ledger = ledger
        with ledger.engine.begin() as connection:
            for table in reversed(schema.metadata.sorted_tables):
                if table is not schema.ledger:
                    connection.execute(delete(table))
        self.runs = [begin(ledger, f"run {number}", *Entity) for number in range(RUNS)]
        for run in self.runs:
            for entity in Entity:
                self._second_slice(run, entity)
        self.leases = {}

    def _second_slice(self, run, entity):
        # One more beside the one that `begin` enters.
        values = {"run": run, "entity": entity, "number": 2, "of": 2, "planned_rows": 0, "fence": 0}
        with self.ledger.engine.begin() as connection:
            connection.execute(insert(schema.part).values(values))

    def do(self, step):
        what, *given = step
        try:
            getattr(self, "_" + what.replace(" ", "_"))(*given)
        except (Fenced, TryAgainLater, LedgerError):
            self.leases.clear()  # a refusal is an answer

    def _lease(self, place):
        number, entity, part = place
        if place not in self.leases:
            self.leases[place] = self.ledger.claim(self.runs[number], entity, part)
        return self.leases[place]

    def _claim(self, place):
        self.leases.pop(place, None)
        self._lease(place)

    def _record(self, entity, key):
        owner = f"C{key % 4}"
        match entity:
            case Entity.CUSTOMERS:
                return customer(f"c{key}", points=key)
            case Entity.EVENTS:
                return event(f"e{key}", owner)
            case _:
                return transaction(f"t{key}", owner)._replace(points=Decimal(key) / 10)

    def _records(self, entity, keys):
        return [self._record(entity, key) for key in keys]

    def _send(self, place, keys, outcome, is_again, is_unproven):
        lease = self._lease(place)
        records = self._records(lease.entity, keys)
        names = {record.key for record in records}
        again = self._carried(lease) & names if is_again else set()
        number = self.ledger.pack(lease, batch(records), again, unproven=names if is_unproven else ())
        if outcome == "given_back":
            self.ledger.give_back(lease, [number], "run_stopped")
        elif outcome in {"unpacked", "packed anew"}:
            self.ledger.unpack(lease, [number])
            if outcome == "packed anew":
                # One of them may be left out; it is given back like the rest in the end.
                self.ledger.pack(lease, batch(records[:2]), names, unproven=names if is_unproven else ())
                self.ledger.give_back(lease, [number], "run_stopped")
        elif outcome != "packed":
            self.ledger.sending(lease, number)
            if outcome != "sending":
                self.ledger.receive(
                    lease,
                    number,
                    Receipt(BatchState(outcome), 201, 0.1, reason="" if outcome == "delivered" else "no_answer"),
                )

    def _carried(self, lease):
        entry = schema.entry
        mine = (entry.c.run == lease.run, entry.c.entity == lease.entity, entry.c.slice == lease.slice)
        with self.ledger.reading() as connection:
            return set(connection.execute(select(entry.c.key).where(*mine, entry.c.batch.is_not(None))).scalars())

    def _judge(self, place, keys, state, reason):
        lease = self._lease(place)
        self.ledger.judge(lease, [record.key for record in self._records(lease.entity, keys)], state, reason)

    def _enter(self, place, keys, state, reason, is_outdating):
        lease = self._lease(place)
        outdated = (
            [one.id for one in self.entries() if one.run < lease.run and one.state in {"held", "quarantined"}]
            if is_outdating
            else []
        )
        rows = [
            Rejection(lease.entity, one.key, one.customer, reason, "name", points=one.points)
            if state == "quarantined"
            else one
            for one in self._records(lease.entity, keys)
        ]
        column = "name" if state == "quarantined" else ""
        self.ledger.enter(lease, [Entry(row, state, reason, column) for row in rows], outdated)

    def _settle(self, place, numbers, state):
        self.ledger.settle(self._lease(place), self._some(numbers), state)

    def _confirm(self, numbers):
        pending.settle(self.ledger, self._some(numbers), [], [])

    def _settle_by_a_person(self, numbers, how):
        replay._settle(self.ledger, self._some(numbers), how)

    def _forget(self, number):
        table, part = schema.run, schema.part
        with self.ledger.engine.begin() as connection:
            connection.execute(
                update(part).where(part.c.run == self.runs[number]).values(finished_at=now(), read_rows=3)
            )
            old = {"finished_at": now() - timedelta(days=90)}
            connection.execute(update(table).where(table.c.id == self.runs[number]).values(old))
        self.leases.clear()
        prune(self.ledger, keep_days=30)

    def _some(self, numbers):
        there = self.entries()
        return [there[number * 3 % len(there)].id for number in numbers] if there else []

    def entries(self):
        with self.ledger.reading() as connection:
            return connection.execute(select(schema.entry).order_by(schema.entry.c.id)).all()

    def batches(self):
        with self.ledger.reading() as connection:
            return {row.id: row for row in connection.execute(select(schema.batch))}


@pytest.fixture
def walk(ledger):
    """Return a way to begin with an empty ledger, as often as wanted."""
    return lambda: Walk(ledger)


# Without shrinking: what fails here fails on a database, where looking for a smaller one takes
# minutes.
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
@given(steps=steps, limits=LIMITS)
def test_what_the_indexes_answer_is_what_every_entry_says(walk, steps, limits):
    walked = walk()
    for step in steps:
        walked.do(step)

    for number, run in enumerate(walked.runs):
        by_hand(walked, run, account(walked.ledger, f"run {number}", limits), limits)
    what_is_known(walked)
    what_waits(walked)
    for one in walked.entries():
        if one.batch:
            its = walked.batches()[one.batch]
            assert (one.run, one.entity, one.slice) == (its.run, its.entity, its.slice)


def by_hand(walked, run, made, limits):
    """Compare the account of a run with one that is counted row by row."""
    entries, batches = walked.entries(), walked.batches()
    superseded = [(one.entity, one.key, one.reason, one.run) for one in entries if one.state == "superseded"]
    with walked.ledger.reading() as connection:
        folded = connection.execute(select(schema.tally).where(schema.tally.c.run == run)).all()
    states, points = defaultdict(Counter), defaultdict(lambda: defaultdict(Decimal))
    carried, troubles = defaultdict(Counter), defaultdict(lambda: [0, Decimal(0), 0])
    for row in folded:
        states[row.entity][row.state] += row.rows
        points[row.entity][row.state] += Decimal(str(row.points))
    for one in (one for one in entries if one.run == run):
        its = batches.get(one.batch)
        state, reason = one.state or its.state, one.reason or (its.reason if its else "")
        states[one.entity][state] += 1
        points[one.entity][state] += Decimal(str(one.points))
        if its and its.requests:
            carried[one.entity][one.key if one.entity == "customers" else one.customer] += 1
        is_resent = state in {"delivered", "confirmed"} and one.reason == RESENT_UNPROVEN
        if state in {"quarantined", "held", "in_doubt"} or is_resent:
            was = any((one.entity, one.key, one.reason) == it[:3] and it[3] < run for it in superseded)
            found = troubles[one.entity, state, reason, one.column_name]
            found[0], found[1], found[2] = found[0] + 1, found[1] + Decimal(str(one.points)), found[2] + (not was)
    for entity in made.entities:
        name = entity.entity
        mine = [its for its in batches.values() if (its.run, its.entity) == (run, name)]
        assert entity.states == dict(states[name])
        assert {state: some for state, some in entity.points.items() if some} == {
            k: v for k, v in points[name].items() if v
        }
        assert entity.requests == sum(its.requests for its in mine)
        assert entity.sent == sum(its.records for its in mine if its.requests)
        assert entity.least_requests == least_requests(name, carried[name].values(), limits)
    assert {(t.entity, t.state, t.reason, t.column): [t.rows, t.points, t.new] for t in made.troubles} == dict(troubles)


def what_is_known(walked):
    """Compare the history of every key, and of every customer, with a look at every entry."""
    entries, batches = walked.entries(), walked.batches()
    for entity in Entity:
        histories, sent = defaultdict(list), {}
        for one in (one for one in entries if one.entity == entity):
            its = batches.get(one.batch)
            state = one.state or its.state
            if one.state not in {"unchanged", "superseded"} or one.reason == ADOPTED:
                histories[one.key].append(
                    (one.id, one.run, state, one.reason or (its.reason if its else ""), one.batch)
                )
            if state in {"delivered", "confirmed", "in_doubt", "sending"} or one.reason == ADOPTED:
                sent[one.customer] = sent.get(one.customer, False) or state in {"in_doubt", "sending"}
        found = known(walked.ledger, entity, {one.key for one in entries})
        assert {
            key: [(k.id, k.run, k.state, k.reason, k.batch) for k in some] for key, some in found.items()
        } == histories
        assert sent_of(walked.ledger, entity, {one.customer for one in entries}) == sent


def what_waits(walked):
    """Compare what is read again, and what a replay would settle, with a look at every entry."""
    entries, batches = walked.entries(), walked.batches()
    for entity in Entity:
        doubtful = [
            one
            for one in entries
            if one.entity == entity
            and (one.state or batches[one.batch].state) == "in_doubt"
            and one.run < walked.runs[-1]
        ]
        chosen = Chosen((entity,), run=None, in_doubt=SEND_AGAIN)
        settled = replay._in_doubt(walked.ledger, walked.runs[-1], entity, chosen)
        assert sorted(settled) == sorted(
            (one.id, one.customer if entity is Entity.TRANSACTIONS else one.key) for one in doubtful
        )
        free = set(waiting(walked.ledger, entity, Policies(), before=walked.runs[-1]))
        read = {
            one.customer if entity is Entity.TRANSACTIONS else one.key
            for one in doubtful
            if one.batch and batches[one.batch].sent_at
        }
        reasons = {"run_stopped", "released"} | (
            {"changed_after_delivery"} if getattr(Policies().changed, entity.value) != "hold" else set()
        )
        at_once = {
            one.customer if entity is Entity.TRANSACTIONS else one.key
            for one in entries
            if one.entity == entity
            and one.run < walked.runs[-1]
            and one.state in {"held", "quarantined"}
            and one.reason in reasons
        }
        assert free == read | at_once
        for run in walked.runs:
            last = {
                max(one.id for one in entries if one.batch == its.id): its
                for its in batches.values()
                if (its.run, its.entity, its.state) == (run, entity, "delivered")
                and any(one.batch == its.id for one in entries)
            }
            keys = {one.key for one in entries if one.id in last}
            assert set(last_delivered(walked.ledger, run, entity, batches=100)) == keys
