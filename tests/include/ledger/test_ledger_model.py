"""
Any shop, any faults: what the ledger says is what was really taken, whatever happened in between.

A shop of a few rows changes while runs read it. Tries die after any write, answers are lost,
batches are refused, and people say what they know or do not know. The real triage judges and the
real ledger is written; only the legacy database and the API are a few lines here, and the API knows
what it has taken.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from contextlib import suppress
from itertools import chain, count, groupby, pairwise
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import delete, event, func, make_url, select

from masivo.connections import engines
from masivo_engine.batching.units import judged_as, units_of
from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import Ledger
from masivo_engine.ledger.rows import Rows
from masivo_engine.ledger.runs import doubts, tallies
from masivo_engine.ledger.runs.asked import ask, ask_open, asked_places, close_asked, plan_asked
from masivo_engine.ledger.runs.runs import begin_run, slices_of
from masivo_engine.ledger.runs.twins import keep_twins
from masivo_engine.ledger.writing.leases import is_behind
from masivo_engine.ledger.writing.slice_ledger import claim
from masivo_engine.ledger.writing.takeover import settle_dead, settle_run
from masivo_engine.mapping.settings import Changed, Policies
from masivo_engine.model.batches import BatchState, Receipt
from masivo_engine.model.errors import LedgerError, Moved
from masivo_engine.model.limits import Limits
from masivo_engine.model.places import place_of
from masivo_engine.model.rows import Entity, State
from masivo_engine.model.runs import Covers, RunKind, RunPolicies, Slice, Window
from masivo_engine.planning.gone import find_gone
from masivo_engine.readback.doubt import doubts_at
from masivo_engine.triage.triage import Decisions, Triage
from tests import builders, told


pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

C, E, T = Entity
LIMITS = Limits(records=20, customers=20, body_bytes=20_000)
HALF = "C2"  # where the second slice begins
POISON = "poison"  # a content that the API refuses
BY_MAPPING = {
    "kept": Policies(),
    "sent on": Policies(changed=Changed(customers="resend", events="resend"), new_transactions="send"),
    "ignored": Policies(changed=Changed(customers="ignore", events="ignore", transactions="ignore")),
}
BY_PERSON = {
    "as usual": RunPolicies(),
    "adopts": RunPolicies(adopts=True),
    "adopts remade": RunPolicies(adopts_remade=True),
    "releases": RunPolicies(releases=True),
    "releases more": RunPolicies(releases=True, takes_more=True),
}


class Api:
    """
    Takes batches, and knows what it has taken: in which batch, and of each record in which order.
    """

    def __init__(self):
        self.taken = set()
        self.contents = defaultdict(list)

    def post(self, number, records, fate):
        """
        Return what the answer makes of the batch; *fate* is whether it takes what it may take, and
        answers.
        """
        is_bad = any(POISON.encode() in record.body for record in records)
        some = records[: len(records) // 2] if fate == "partial" else ()
        taken = records if fate in {"answers", "partial", "silent"} and not is_bad else some
        for record in (one for one in taken if POISON.encode() not in one.body):
            self.taken.add((number, record.place))
            self.contents[record.entity, record.key].append((record.customer, record.content_hash))
        if fate in {"silent", "lost"}:
            return BatchState.IN_DOUBT
        return BatchState.REFUSED if is_bad else BatchState.DELIVERED

    def repeats(self, entity, key):
        """Count how often a record was taken that was there just so."""
        return sum(one == other for one, other in pairwise(self.contents[entity, key]))


class Died(Exception):
    """The process of a try ends here."""


class Line(NamedTuple):
    """One row of the shop; *number* tells several rows of one key apart."""

    entity: Entity
    key: str
    customer: str
    content: str = ""
    points: int = 0
    email: str = ""
    time: int = 0
    number: int = 0


class Shop:
    """The legacy database: lines, and what reading makes of them."""

    def __init__(self):
        self.lines = {}
        self.clock = count(1)
        self.entity = C

    def put(self, line):
        """Write *line*, at this moment."""
        self.lines[line.entity, line.key, line.number] = line._replace(time=next(self.clock))
        if line.entity is T:
            self._touch(line.customer)

    def drop(self, name):
        """Delete the line called *name*."""
        line = self.lines.pop(name)
        if line.entity is T:
            self._touch(line.customer)

    def _touch(self, customer):
        if (owner := self.lines.get((C, customer, 0))) is not None:
            self.put(owner)

    def balance(self, customer):
        """Return what a customer's transactions come to."""
        return sum(line.points for line in self.lines.values() if (line.entity, line.customer) == (T, customer))

    def rows(self, entity, which):
        """Return the rows of *entity* for which *which* holds, by customer."""
        found = [line for line in self.lines.values() if line.entity is entity and which(line)]
        return [self._row(line) for line in sorted(found, key=lambda line: (line.customer, line.key, line.number))]

    def _row(self, line):
        if line.content == "no record":
            bad = builders.rejection(line.entity, line.key, "not_a_date", "born", owner=line.customer)
            return bad._replace(changed=str(line.time))
        match line.entity:
            case Entity.CUSTOMERS:
                points = self.balance(line.key)
                row = builders.customer(line.key, points=points, content=line.content, email=line.email)
            case Entity.EVENTS:
                row = builders.event(line.key, line.customer, content=line.content)
            case _:
                row = builders.transaction(line.key, line.customer, line.points, content=line.content)
        return row._replace(changed=str(line.time))

    def rows_at(self, places):
        """Return how many rows stand at each of *places*."""
        found = Counter(place_of(line.key) for line in self.lines.values() if line.entity is self.entity)
        return {place: found[place] for place in places if found[place]}

    def there(self, places):
        """Return those of *places* at which a row stands."""
        return set(self.rows_at(places))

    def twins(self, entity):
        """Return the places of several rows."""
        found = Counter(place_of(line.key) for line in self.lines.values() if line.entity is entity)
        return {place: rows for place, rows in found.items() if rows > 1}


class Run(NamedTuple):
    """One run: its number, from when on it reads, and what it does otherwise than usual."""

    number: int
    since: dict
    policies: Policies
    run: RunPolicies
    begun: int


def _place(line):
    """Return the place by which a row is asked for: of a transaction that of its customer."""
    return place_of(line.customer if line.entity is T else line.key)


class Beside:
    """The transactions beside the customers of one slice, as the engine judges them."""

    def __init__(self, machine, run, number):
        self.shop = machine.shop
        decided, twins = Decisions.of(T, run.policies, run.run, "replace"), machine.twins[run.number, T]
        rows = Rows(machine.ledger)
        self.triage = Triage(T, rows, self.shop, LIMITS, decided, run=run.number, number=number, twins=twins)

    def pages(self, owners):
        rows = self.shop.rows(T, lambda line: place_of(line.customer) in owners)
        return [list(some) for _, some in groupby(rows, key=lambda row: row.customer)]

    def judge(self, page, family):
        self.shop.entity = T
        try:
            return self.triage.judge(page, family)
        finally:
            self.shop.entity = C


class Try:
    """One try of one slice, as the engine works it off; the process dies when *fuse* is burnt."""

    def __init__(self, machine, run, part, fates, fuse):
        self.machine, self.run, self.part, self.entity = machine, run, part, part.entity
        self.ledger, self.shop, self.api = machine.ledger, machine.shop, machine.api
        self.fates, self.fuse = iter(fates), fuse
        self.writer = claim(self.ledger, run.number, part.entity, part.number)
        decided = Decisions.of(part.entity, run.policies, run.run, "replace")
        twins = machine.twins[run.number, part.entity]
        self.shop.entity = part.entity
        self.triage = Triage(
            part.entity,
            Rows(self.ledger),
            self.shop,
            LIMITS,
            decided,
            run=run.number,
            number=part.number,
            twins=twins,
            sets=Beside(machine, run, part.number) if part.entity is C else None,
        )
        self.rows, self.seen, self.alone = 0, {}, {}

    def point(self):
        """The process may die here, after a write."""
        self.fuse -= 1
        if self.fuse == 0:
            raise Died

    def work(self, *, settles):
        """Work the slice off; *settles*: what is in doubt is read back."""
        for page in self._pages():
            self.rows += len(page)
            self._send(self._judge(page))
            self.point()
        for _ in range(3 if settles else 0):
            self._settle()
        self.writer.finish(self.rows)
        self.point()
        if self.part.selects == "places":
            close_asked(self.ledger, self.run.number, self.part)

    def _pages(self):
        if self.part.selects == "places":
            for places in asked_places(self.ledger, self.run.number, self.part, most=3):
                mine = set(places)
                yield self.shop.rows(self.entity, lambda line, mine=mine: _place(line) in mine)
            return
        lower, upper = self.part.lower or "", self.part.upper or "~"
        since = self.run.since[self.entity]
        rows = self.shop.rows(self.entity, lambda line: line.time > since and lower <= line.customer < upper)
        pages = [list(page) for _, page in groupby(rows, key=lambda row: row.owner)]
        yield from (list(chain(*pages[first : first + 2])) for first in range(0, len(pages), 2))

    def _judge(self, page):
        for _ in range(3):
            made = self.triage.judge(page)
            try:
                self.writer.see(made.judged, made.known)
            except Moved:
                continue
            break
        if made.met_again:
            self.writer.met_again(made.met_again)
        self.seen |= {one.place: one.row for one in made.judged}
        self.machine.lied.update((self.entity, one.row.key) for one in made.judged if one.verdict.has_it)
        self.point()
        return [*made.units, *made.suspects]

    def _send(self, units, *, together=True):
        wanted = [record for unit in units for record in unit]
        for records in [wanted] if wanted and together else units_of(wanted):
            known = Rows(self.ledger).at(self.entity, [record.place for record in records])
            strays = [place for place, one in known.items() if one.strays]
            number = self.writer.pack(builders.batch(records))
            self.point()
            self.writer.mark_sending(number)
            self.point()
            state = self.api.post(number, records, next(self.fates, "answers"))
            self.point()
            reason = "" if state is BatchState.DELIVERED else "no_answer"
            status = {BatchState.DELIVERED: 201, BatchState.REFUSED: 422}.get(state, 0)
            self.writer.enter_receipt(number, Receipt(state, status, 0.1, reason=reason))
            self.point()
            if state is BatchState.REFUSED and len(records) == 1 and not strays:
                self.writer.convict(records, number, "refused", "no", judged_as(records))
            elif state is BatchState.REFUSED and len(units_of(records)) == 1:
                self.alone[number] = records, not strays

    def _settle(self):
        """Read back everything that is in doubt, and send what may go then, each by itself."""
        unread = doubts.doubts_unread(self.ledger, self.run.number, self.entity) if self._is_last() else []
        found = doubts_at(self.ledger, self.entity, {*self.seen, *unread})
        again = set()
        for number, some in groupby(found, key=lambda doubt: doubt.batch):
            members = list(some)
            present = [one.place for one in members if (number, one.place) in self.api.taken]
            absent = [one.place for one in members if one.place not in present]
            self.writer.arrived(present, number)
            self.point()
            self.writer.absent(absent, number, was_refused=members[0].is_refused)
            self.point()
            if number in self.alone and not present:
                records, is_proved = self.alone[number]
                if is_proved:
                    self.writer.convict(records, None, "refused", "no", judged_as(records))
                continue
            again |= {self.seen[place].customer for place in (*present, *absent) if place in self.seen}
        rows = [row for row in self.seen.values() if row.customer in again]
        if rows:
            self._send(self._judge(rows), together=False)

    def _is_last(self):
        mine = slices_of(self.ledger, self.run.number, self.entity)
        return self.part.number == mine[-1].number and not is_behind(
            self.ledger, self.run.number, self.part, lively_s=1e9
        )


KEYS = {C: ["C0", "C1", "C2", "C3"], E: ["E0", "E1", "E2"], T: ["T0", "T1", "T2", "T3"]}
EMAILS = ["a@example.invalid", "b@example.invalid", "c@example.invalid"]
FATES = st.lists(st.sampled_from(["answers", "answers", "answers", "partial", "silent", "lost"]), max_size=6)
POLICIES = st.sampled_from(["kept", "sent on", "sent on", "ignored"])
ASKED = st.sampled_from(["as usual"] * 5 + ["adopts", "adopts remade"])
lines = st.sampled_from(list(Entity)).flatmap(
    lambda entity: st.builds(
        Line,
        st.just(entity),
        st.sampled_from(KEYS[entity]),
        st.sampled_from(KEYS[C]),
        st.sampled_from(["", "", "", "newer", "other", POISON, "no record"]),
        st.sampled_from([0, 0, 5]),
        st.sampled_from(EMAILS),
        time=st.just(0),
        number=st.sampled_from([0] * 7 + [1]),
    )
)


class Machine(RuleBasedStateMachine):
    """Everything that may happen, in whatever order."""

    def __init__(self, ledger):
        super().__init__()
        self.ledger = ledger

    @initialize(some=st.lists(lines, max_size=10))
    def open(self, some):
        with self.ledger.engine.begin() as connection:
            for table in reversed(schema.metadata.sorted_tables):
                if table is not schema.ledger:
                    connection.execute(delete(table))
        self.shop, self.api = Shop(), Api()
        self.runs, self.ended, self.twins = [], set(), {}
        self.covered = dict.fromkeys(Entity, 0)
        self.lied, self.wrong = set(), Counter()
        for line in some:
            self.put(line)

    # The shop.

    @rule(line=lines)
    def put(self, line):
        self.shop.put(line._replace(customer=line.key) if line.entity is C else line)

    @rule(data=st.data())
    def drop(self, data):
        if self.shop.lines:
            self.shop.drop(data.draw(st.sampled_from(sorted(self.shop.lines))))

    @rule(pair=st.permutations(KEYS[C]))
    def swap(self, pair):
        one, other = (self.shop.lines.get((C, key, 0)) for key in pair[:2])
        if one and other:
            self.shop.put(one._replace(email=other.email))
            self.shop.put(other._replace(email=one.email))

    # Runs.

    @rule(is_full=st.booleans(), policies=POLICIES, run=ASKED)
    def begin(self, is_full, policies, run):
        begun = next(self.shop.clock)
        number = begin_run(
            self.ledger, f"run {len(self.runs)}", mapping="sample", mapping_hash="00", covers="{}"
        ).number
        since = dict.fromkeys(Entity, 0) if is_full else dict(self.covered)
        self.runs.append(Run(number, since, BY_MAPPING[policies], BY_PERSON[run], begun))
        for entity in Entity:
            halves = [Slice(entity, 1, 2, None, HALF, 0), Slice(entity, 2, 2, HALF, None, 0)]
            builders.plan_slices(self.ledger, number, entity, halves)
            self.twins[number, entity] = self.shop.twins(entity)
            keep_twins(self.ledger, number, entity, self.twins[number, entity].items())

    @rule(
        is_full=st.booleans(),
        policies=POLICIES,
        run=ASKED,
        fates=FATES,
        fuse=st.integers(0, 40),
        between=st.lists(lines, max_size=2),
        settles=st.booleans(),
    )
    def run_through(self, is_full, policies, run, fates, fuse, between, settles):
        """A whole run: one of its tries may die, and the shop goes on meanwhile."""
        self.begin(is_full, policies, run)
        for entity in Entity:
            for _ in range(6):
                fuse = self._attempt(0, entity, fates, fuse, settles=settles)
                for line in between[:1]:
                    self.put(line)
                between = between[1:]
        self.end(0)

    @rule(policies=POLICIES, run=st.sampled_from(["releases", "releases more"]), entity=st.sampled_from(list(Entity)))
    def release(self, policies, run, entity):
        """A person lets rows go that wait."""
        begun = next(self.shop.clock)
        number = begin_run(
            self.ledger, f"run {len(self.runs)}", mapping="sample", mapping_hash="00", covers="{}"
        ).number
        self.runs.append(Run(number, {}, BY_MAPPING[policies], BY_PERSON[run], begun))
        waits = schema.record.c.state.in_([State.HELD, State.QUARANTINED])
        ask(self.ledger, number, entity, waits, schema.record.c.gone_run.is_(None))
        plan_asked(self.ledger, number, entity, most=100)
        self.twins |= {(number, one): self.shop.twins(one) for one in Entity}

    @rule(which=st.integers(0, 3), entity=st.sampled_from(list(Entity)), first=st.booleans(), fates=FATES)
    def work(self, which, entity, first, fates):
        """A slice is worked off; the process lives."""
        self._attempt(which, entity, fates, 0, first=first)

    @rule(
        which=st.integers(0, 3),
        entity=st.sampled_from(list(Entity)),
        first=st.booleans(),
        fates=FATES,
        fuse=st.integers(0, 12),
        settles=st.booleans(),
    )
    def attempt(self, which, entity, first, fates, fuse, settles):
        """A slice is worked off; the process may die."""
        self._attempt(which, entity, fates, fuse, first=first, settles=settles)

    def _attempt(self, which, entity, fates, fuse, *, first=True, settles=True):
        """Try a slice of one of the newest runs; return what is left of the fuse."""
        run = self.runs[-1 - which % len(self.runs)] if self.runs else None
        left = self._left(run, entity) if run else []
        if not left:
            return fuse
        try:
            trying = Try(self, run, left[0] if first else left[-1], fates, fuse)
        except LedgerError as overtaken:
            if "this run has ended" not in str(overtaken):
                raise
            return fuse
        with suppress(Died):
            trying.work(settles=settles)
        return trying.fuse

    def _left(self, run, entity):
        """Return the slices that can be worked off: those that read by place come last."""
        parts = slices_of(self.ledger, run.number, entity)
        if run.since and all(part.selects == "window" for part in parts) and not self._is_done(run, entity):
            with self.ledger.reading() as connection:
                part = schema.part
                mine = (part.c.run == run.number, part.c.entity == entity, part.c.fence > 0)
                if not connection.execute(select(part.c.number).where(*mine)).all():
                    settle_dead(self.ledger, run.number, entity, lease_s=-1.0)
                    ask_open(self.ledger, run.number, entity)
                    plan_asked(self.ledger, run.number, entity, most=2)
            parts = slices_of(self.ledger, run.number, entity)
        with self.ledger.reading() as connection:
            part = schema.part
            mine = (part.c.run == run.number, part.c.entity == entity, part.c.finished_at.is_not(None))
            done = set(connection.execute(select(part.c.number).where(*mine)).scalars())
        windows = [part for part in parts if part.selects == "window" and part.number not in done]
        return windows or [part for part in parts if part.number not in done]

    def _is_done(self, run, entity):
        part = schema.part
        with self.ledger.reading() as connection:
            mine = (part.c.run == run.number, part.c.entity == entity)
            found = connection.execute(select(part.c.finished_at).where(*mine)).scalars().all()
        return all(found)

    @rule(which=st.integers(0, 3))
    def end(self, which):
        if self.runs:
            self._end(self.runs[-1 - which % len(self.runs)])

    def _end(self, run):
        settle_run(self.ledger, run.number)
        for entity in Entity:
            self.shop.entity = entity
            if not self._is_done(run, entity) or not run.since:
                continue
            if not run.since[entity]:
                covers = Covers(RunKind.FULL, {entity: Window()})
                find_gone(self.ledger, run.number, covers, self.shop)
            self.covered[entity] = max(self.covered[entity], run.begun)
        tallies.freeze(self.ledger, run.number)

    # People.

    @rule(entity=st.sampled_from(list(Entity)))
    def say_delivered(self, entity):
        self._say(entity, doubts.arrived)

    @rule(entity=st.sampled_from([C, E]))
    def say_send_again(self, entity):
        self._say(entity, doubts.give_up)

    def _say(self, entity, said):
        record = schema.record
        doubtful = (record.c.entity == entity, record.c.state == State.IN_DOUBT, schema.is_out)
        with self.ledger.reading() as connection:
            found = connection.execute(select(record.c.key, record.c.place, record.c.out_batch).where(*doubtful)).all()
        number = begin_run(
            self.ledger, f"said {next(self.shop.clock)}", mapping="sample", mapping_hash="00", covers="{}"
        ).number
        said(self.ledger, number, entity)
        for key, place, batch in found:
            is_there = (batch, place) in self.api.taken
            if said is doubts.give_up and is_there:
                self.wrong[entity, key] += 1
            if said is doubts.arrived and not is_there:
                self.lied.add((entity, key))

    # What holds after every step.

    def known(self):
        table = schema.record
        with self.ledger.reading() as connection:
            return connection.execute(select(table)).all()

    @invariant()
    def check(self):
        self.nothing_is_taken_twice()
        self.what_is_said_to_be_there_was_taken()
        self.what_was_taken_is_known()
        self.what_is_out_waits_for_its_batch()
        self.the_account_adds_up()

    def nothing_is_taken_twice(self):
        for entity, key in self.api.contents:
            if entity is T:
                assert len(self.api.contents[entity, key]) == 1, key
            elif (entity, key) not in self.lied:
                assert self.api.repeats(entity, key) <= self.wrong[entity, key], key

    def what_is_said_to_be_there_was_taken(self):
        for row in self.known():
            name = (Entity(row.entity), row.key)
            if row.has_hash is not None and name not in self.lied:
                assert (row.has_customer, row.has_hash) in self.api.contents[name], name
            if row.state == State.DELIVERED:
                assert row.has_hash is not None, name

    def what_was_taken_is_known(self):
        found = defaultdict(list)
        for row in self.known():
            found[Entity(row.entity), row.key].append(row)
        for name, contents in self.api.contents.items():
            if name in self.lied or self.wrong[name]:
                continue
            has = [(row.has_customer, row.has_hash) for row in found[name]]
            out = [(row.out_customer, row.out_hash) for row in found[name]]
            assert contents[-1] in [*has, *out] or any(row.strays for row in found[name]), name

    def what_is_out_waits_for_its_batch(self):
        batch, record = schema.batch, schema.record
        query = select(batch.c.state).join(record, record.c.out_batch == batch.c.id)
        with self.ledger.reading() as connection:
            assert set(connection.execute(query).scalars()) <= {"packed", "sending", "in_doubt", "refused"}

    def the_account_adds_up(self):
        part, found = schema.part, told.counted(self.ledger.engine)
        for run in self.runs:
            for entity in Entity:
                if self._is_done(run, entity):
                    read = select(func.sum(part.c.read_rows - part.c.met_again))
                    with self.ledger.reading() as connection:
                        mine = (part.c.run == run.number, part.c.entity == entity)
                        assert (connection.execute(read.where(*mine)).scalar() or 0) == found[run.number, entity]

    # And in the end.

    def quiet_run(self, *, is_full):
        self.begin(is_full, "sent on", "as usual")
        for entity in Entity:
            while self._left(self.runs[-1], entity):
                self._attempt(0, entity, [], 0)
        self._end(self.runs[-1])
        self.check()

    def teardown(self):
        if not hasattr(self, "runs"):
            return
        for _ in range(4):
            self.quiet_run(is_full=False)
        self.nothing_is_lost()
        self.quiet_run(is_full=True)
        before = sum(map(len, self.api.contents.values())), self._batches()
        self.quiet_run(is_full=True)
        self.quiet_run(is_full=False)
        after = sum(map(len, self.api.contents.values())), self._batches()
        # What was given up once and is refused is tried by every run.
        assert after == before or (any(row.strays for row in self.known()) and after[0] == before[0])
        self.nothing_is_lost()

    def _batches(self):
        with self.ledger.reading() as connection:
            return connection.execute(select(func.count()).select_from(schema.batch)).scalar()

    def nothing_is_lost(self):
        found = defaultdict(list)
        for row in self.known():
            found[row.entity, row.key].append(row)
        for line in self.shop.lines.values():
            rows = found[line.entity, line.key]
            assert rows, line
            for row in rows:
                if row.gone_run is None and row.state not in {"delivered", "unchanged"}:
                    assert self._may_wait(line, row, found), (line, row.state, row.reason)

    def _may_wait(self, line, row, found):
        """Whether what keeps a row is so."""
        mine = found[C, line.customer]
        of_customer = [one for one in self.shop.lines.values() if (one.entity, one.customer) == (T, line.customer)]
        is_twin = sum(one[:2] == line[:2] for one in self.shop.lines.values()) > 1
        return {
            "not_a_date": line.content == "no record" or is_twin,
            "refused": is_twin or POISON in {line.content, *(one.content for one in of_customer)},
            "duplicate_key": is_twin,
            "duplicate_row": is_twin,
            "email_shared": self._wants_anothers_address(row),
            "email_swapped": self._wants_anothers_address(row),
            "customer_missing": not mine,
            "customer_quarantined": any(one.state == "quarantined" for one in mine),
            "customer_held": any(one.state == "held" for one in mine),
            "customer_in_doubt": any(one.strays for one in (row, *mine)),
            "stray": any(one.strays for one in (row, *mine)),
            "refused_in_company": any(one.strays for one in (row, *mine)),
            "sibling_not_sendable": len(of_customer) > 1,
            "points_do_not_sum": True,
            "changed_after_delivery": line.entity is T,
        }.get(row.reason, False)

    def _wants_anothers_address(self, row):
        return any(row.email in {one.email, one.has_email} for one in self.known() if one.key != row.key)


@pytest.fixture
def ledger(tmp_path):
    engine = engines.ledger(make_url(f"sqlite:///{tmp_path / 'ledger.sqlite'}"))
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous = OFF"))
    engine.dispose()
    made = Ledger(engine, "account")
    made.prepare()
    yield made
    engine.dispose()


def test_whatever_happens_nothing_is_lost_and_nothing_is_taken_twice(ledger):
    run_state_machine_as_test(
        lambda: Machine(ledger),
        settings=settings(
            max_examples=100, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
