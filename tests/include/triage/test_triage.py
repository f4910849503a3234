"""
What becomes of each row that was read: every row ends once, for its own fault first, and a
customer's transactions go together.

The table of `masivo_engine.triage.triage.verdict_on` is tested cell by cell; what concerns several
rows on a real ledger, where the rows stand that it is about.
"""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from itertools import count, groupby

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import make_url

from masivo.connections import engines
from masivo_engine.batching.units import set_digest
from masivo_engine.ledger.connection import Ledger
from masivo_engine.ledger.rows import Known, Parent, Rows
from masivo_engine.ledger.runs.runs import begin_run
from masivo_engine.mapping.settings import Changed, Policies
from masivo_engine.model.batches import BatchState
from masivo_engine.model.limits import Limits
from masivo_engine.model.places import place_of
from masivo_engine.model.rows import Entity, Record, Rejection, State
from masivo_engine.model.runs import RunPolicies
from masivo_engine.triage.triage import Decisions, Triage, verdict_on
from tests import builders
from tests.builders import claimed, customer, event, one_slice, plan_slices, rejection, transaction


LIMITS = Limits(records=10, body_bytes=2_000)
ARRIVED = BatchState.DELIVERED
RUN = 7


# --- one row


def known(row, **fields):
    """What the ledger has of *row*, of which nothing is out and nothing has arrived."""
    nothing = dict.fromkeys(Known._fields)
    base = {"home": row.owner, "place": row.place, "key": row.key, "customer": row.customer, "owner": row.owner}
    base |= {"changed": row.changed, "hash": getattr(row, "content_hash", None), "points": row.points}
    base |= {"state": "held", "reason": "", "column_name": "", "since_run": 1, "strays": 0, "run": 1}
    return Known(**nothing | base | {"slice": 1} | fields)


def has(row, **fields):
    """What the ledger has of *row*, which has arrived as it is."""
    there = {"has_hash": row.content_hash, "has_customer": row.customer, "has_batch": 1, "has_run": 1}
    return known(row, **there | {"state": "delivered"} | fields)


ROW, OTHER = event("1", "A"), event("1", "A", content="other")
BAD = rejection(Entity.EVENTS, "1", "not_a_date", "issued_at", "text", owner="A")
THERE, NOBODY = Parent(has_arrived=True), Parent(has_arrived=False)
RELEASED = RunPolicies(releases=True)


def said(row, row_known, parent=THERE, **decided):
    verdict = verdict_on(row, row_known, parent, Decisions(**decided))
    return "sent" if verdict.is_sent else f"{verdict.state} {verdict.reason}".strip()


@pytest.mark.parametrize("row", [ROW, OTHER, BAD])
@pytest.mark.parametrize("of_known", [known, has])
@pytest.mark.parametrize("parent", [THERE, NOBODY])
def test_what_is_out_is_in_doubt_whatever_else_there_is(row, of_known, parent):
    out = of_known(ROW, out_batch=3, out_hash=ROW.content_hash, out_customer="A", reason="no_answer")
    assert said(row, out, parent) == "in_doubt no_answer"
    assert said(row, out, parent, run=RELEASED) == "in_doubt no_answer"


def test_unless_a_person_says_that_everything_is_there():
    out = known(ROW, out_batch=3, out_hash=ROW.content_hash, reason="no_answer")
    verdict = verdict_on(ROW, out, THERE, Decisions(run=RunPolicies(adopts=True)))
    assert (verdict.state, verdict.reason, verdict.has_it) == (State.UNCHANGED, "adopted", True)


@pytest.mark.parametrize("row_known", [None, known(ROW), has(ROW), known(ROW, judged=ROW.content_hash)])
@pytest.mark.parametrize("run", [RunPolicies(), RELEASED, RunPolicies(adopts=True)])
def test_what_is_no_record_is_quarantined_for_its_fault(row_known, run):
    assert said(BAD, row_known, run=run) == "quarantined not_a_date"


@pytest.mark.parametrize("run", [RunPolicies(), RELEASED, RunPolicies(adopts=True), RunPolicies(adopts_remade=True)])
@pytest.mark.parametrize("changed", ["resend", "hold", "ignore"])
@pytest.mark.parametrize("parent", [THERE, NOBODY])
def test_what_the_api_has_as_it_is_is_unchanged(run, changed, parent):
    assert said(ROW, has(ROW), parent, changed=changed, run=run) == "unchanged"


@pytest.mark.parametrize("reason", ["adopted", "change_ignored"])
def test_what_a_person_or_a_policy_said_of_it_stays(reason):
    assert said(ROW, has(ROW, state="unchanged", reason=reason)) == f"unchanged {reason}"


def test_a_stray_of_the_same_content_changes_nothing_and_another_one_may_have_replaced_it():
    assert said(ROW, has(ROW, strays=1, stray_hash=ROW.content_hash)) == "unchanged"
    assert said(ROW, has(ROW, strays=1, stray_hash=OTHER.content_hash)) == "in_doubt stray"


@pytest.mark.parametrize(
    ("changed", "run", "verdict"),
    [
        ("resend", RunPolicies(), "sent"),
        ("hold", RunPolicies(), "held changed_after_delivery"),
        ("ignore", RunPolicies(), "unchanged change_ignored"),
        ("hold", RELEASED, "sent"),
        ("ignore", RELEASED, "sent"),
        ("hold", RunPolicies(adopts=True), "unchanged adopted"),
    ],
)
@pytest.mark.parametrize("moved", [OTHER, event("1", "B")])
def test_what_changed_is_treated_as_the_policy_says(changed, run, verdict, moved):
    assert said(moved, has(ROW), changed=changed, run=run) == verdict


def test_from_now_on_adopts_only_what_another_mapping_made_and_not_what_changed():
    """The row's own change time tells the two apart."""
    run = RunPolicies(adopts_remade=True)
    before, remade = ROW._replace(changed="2024-01-01"), OTHER._replace(changed="2024-01-01")
    assert said(remade, has(before), run=run) == "unchanged adopted"
    assert said(remade._replace(changed="2024-01-02"), has(before), run=run) == "held changed_after_delivery"
    # What was held as changed before the mapping was is no work of the mapping.
    held = has(before, hash=b"x", state="held", reason="changed_after_delivery")
    assert said(remade, held, run=run) == "held changed_after_delivery"


def test_transactions_that_changed_are_held_even_if_they_are_released():
    row, other = transaction("1", "A"), transaction("1", "A", 7)
    assert said(other, has(row), run=RELEASED) == "held changed_after_delivery"


@pytest.mark.parametrize(
    ("worth", "resends", "verdict"),
    [
        (None, "", "sent"),  # no points that could be added
        ('{"r": "5"}', "", "held awaits_probe"),
        ('{"r": "5"}', "replace", "sent"),
        ('{"r": "5"}', "add", "held resend_unsafe"),
        ('{"r": "5"}', "refuse", "held resend_unsafe"),
    ],
)
def test_a_changed_customer_with_points_goes_only_to_an_account_that_replaces(worth, resends, verdict):
    row = customer("A", points=5)
    there = has(row, has_worth=worth)
    other = customer("A", points=5, content="other")
    assert said(other, there, None, changed="resend", resends=resends) == verdict
    assert said(other, there, None, changed="resend", resends=resends, run=RELEASED) == "sent"


def test_what_the_api_refused_by_itself_is_not_sent_again_until_it_changes_or_is_released():
    refused = known(ROW, state="quarantined", reason="refused", judged=ROW.content_hash)
    assert said(ROW, refused) == "quarantined refused"
    assert said(OTHER, refused) == "sent"
    assert said(ROW, refused, run=RELEASED) == "sent"


def test_nor_is_a_change_that_it_refused():
    refused = has(ROW, state="quarantined", reason="refused", judged=OTHER.content_hash)
    assert said(OTHER, refused, changed="resend") == "quarantined refused"
    assert said(event("1", "A", content="newer"), refused, changed="resend") == "sent"
    assert said(OTHER, refused, changed="resend", run=RELEASED) == "sent"


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("", "customer_missing"),
        ("quarantined", "customer_quarantined"),
        ("held", "customer_held"),
        ("in_doubt", "customer_in_doubt"),
    ],
)
def test_a_child_waits_for_its_customer(state, reason):
    assert said(ROW, None, Parent(has_arrived=False, state=state)) == f"held {reason}"
    assert said(ROW, None, Parent(has_arrived=True, state=state)) == "sent"


@given(
    row=st.sampled_from([ROW, OTHER, BAD]),
    is_out=st.booleans(),
    arrived=st.sampled_from([None, ROW, OTHER]),
    strays=st.integers(0, 1),
    judged=st.sampled_from([None, ROW.content_hash, OTHER.content_hash]),
    parent=st.sampled_from([THERE, NOBODY]),
    changed=st.sampled_from(["resend", "hold", "ignore"]),
    run=st.builds(RunPolicies, adopts=st.booleans(), adopts_remade=st.booleans(), releases=st.booleans()),
)
def test_nothing_is_sent_that_is_out_is_there_or_is_no_record(  # noqa: PLR0913, PLR0917 (the cells of the table)
    row, is_out, arrived, strays, judged, parent, changed, run
):
    fields = {"strays": strays, "stray_hash": OTHER.content_hash if strays else None, "judged": judged}
    fields |= {"out_batch": 3, "reason": "no_answer"} if is_out else {}
    of_row = known(ROW, **fields) if arrived is None else has(arrived, **fields)
    verdict = verdict_on(row, of_row, parent, Decisions(changed=changed, run=run))
    if is_out or isinstance(row, Rejection) or run.adopts:
        assert not verdict.is_sent
    if arrived is not None and isinstance(row, Record) and row.content_hash == arrived.content_hash:
        assert not verdict.is_sent
    if verdict.is_sent and arrived is None:
        assert parent.has_arrived
    assert verdict.is_sent or verdict.reason or verdict.state is State.UNCHANGED


# --- several rows, on a ledger


@pytest.fixture
def ledger(sqlite_url):
    engine = engines.ledger(make_url(sqlite_url))
    made = Ledger(engine, "account")
    made.prepare()
    yield made
    engine.dispose()


class Shop:
    """The source as far as judging asks it: how many rows stand at a place."""

    def __init__(self):
        self.rows = Counter()

    def rows_at(self, places):
        return {place: self.rows[place] for place in places if self.rows[place]}


class Beside:
    """The *transactions* that stand beside customers."""

    def __init__(self, ledger, transactions, decided):
        self.rows = transactions
        self.triage = Triage(Entity.TRANSACTIONS, Rows(ledger), Shop(), LIMITS, decided, run=0, number=1)

    def pages(self, owners):
        found = [row for row in self.rows if row.owner in owners]
        return [list(some) for _, some in groupby(found, key=lambda row: row.customer)]

    def judge(self, page, family):
        return self.triage.judge(page, family)


class Try:
    """One try of one slice: judges pages, and writes down what comes of them as the engine does."""

    def __init__(  # noqa: PLR0913 (what a run decides)
        self, ledger, entity, *, run_id="run", number=1, twins=None, policies=None, run=None, resends="", beside=()
    ):
        of_run = begin_run(ledger, run_id, mapping="sample", mapping_hash="00", covers="{}").number
        plan_slices(ledger, of_run, entity, [one_slice(entity, 1, 2, None, 5), one_slice(entity, 2, 2, 5, None)])
        self.writer = claimed(ledger, of_run, entity, number)
        self.shop = Shop()
        decided = Decisions.of(entity, policies or Policies(), run or RunPolicies(), resends)
        twins = {place_of(key): number for key, number in (twins or {}).items()}
        sets = Beside(
            ledger, beside, Decisions.of(Entity.TRANSACTIONS, policies or Policies(), run or RunPolicies(), resends)
        )
        kept = {"run": of_run, "number": number, "twins": twins, "sets": sets}
        self.triage = Triage(entity, Rows(ledger), self.shop, LIMITS, decided, **kept)

    def judge(self, *rows):
        """
        Judge a page; return (key, reason or state) of what is not sent and (key, "goes") of what
        is.
        """
        made = self.triage.judge(rows)
        self.writer.see(made.judged, made.known)
        self.last = made
        return [
            (one.row.key, "goes" if one.verdict.is_sent else one.verdict.reason or one.verdict.state)
            for one in made.judged
        ]

    def send(self, *records, receipt=ARRIVED):
        """Send *records*; without a receipt the task dies while they are out."""
        builders.send(self.writer, *records, state=receipt)

    def finish(self):
        self.writer.finish(0)


def delivered(ledger, *records, run_id="before"):
    """Have *records* delivered by an earlier run."""
    trying = Try(ledger, records[0].entity, run_id=run_id)
    trying.send(*records)
    trying.finish()


def test_of_copies_one_goes_and_of_different_rows_none(ledger):
    delivered(ledger, customer("A"))
    trying = Try(ledger, Entity.EVENTS)
    page = [event("1", "A"), event("1", "A"), event("2", "A"), event("2", "A", content="other"), event("3", "A")]
    assert sorted(trying.judge(*page)) == [
        ("1", "duplicate_row"),
        ("1", "goes"),
        ("2", "duplicate_key"),
        ("2", "duplicate_key"),
        ("3", "goes"),
    ]
    assert len({one.place for one in trying.last.judged}) == 5


@pytest.mark.parametrize("number", [1, 2])
def test_different_rows_of_one_key_are_duplicates_on_whichever_page_or_slice_they_are(ledger, number):
    """The plan has counted them, so that not even the first one goes."""
    delivered(ledger, customer("A"), customer("B"))
    first = Try(ledger, Entity.EVENTS, twins={"1": 2})
    assert first.judge(event("1", "A")) == [("1", "duplicate_key")]
    other = first if number == 1 else Try(ledger, Entity.EVENTS, number=2, twins={"1": 2})
    assert other.judge(event("1", "B")) == [("1", "duplicate_key")]
    # A second try finds the same, whatever order they come in.
    again = Try(ledger, Entity.EVENTS, number=number, twins={"1": 2})
    assert again.judge(event("1", "B")) == [("1", "duplicate_key")]
    assert len(Rows(ledger).of_keys(Entity.EVENTS, ["1"])["1"]) == 2


def test_rows_of_a_key_that_another_slice_has_seen_count_once_each(ledger):
    """A slice that reads by place meets all rows of a key, also those that a window had."""
    delivered(ledger, customer("A"), customer("B"))
    Try(ledger, Entity.EVENTS, twins={"1": 3}).judge(event("1", "A"), event("1", "A", content="other"))
    by_place = Try(ledger, Entity.EVENTS, number=2, twins={"1": 3})
    page = [event("1", "B"), event("1", "A", content="other"), event("1", "A")]
    assert by_place.judge(*page) == [("1", "duplicate_key")]
    assert by_place.last.met_again == 2
    assert len(Rows(ledger).of_keys(Entity.EVENTS, ["1"])["1"]) == 3


def test_rows_of_a_key_are_told_apart_by_their_content_in_whatever_order_they_come(ledger):
    page = [event("1", "A"), event("1", "A", content="other")]
    first = Try(ledger, Entity.EVENTS, twins={"1": 2})
    first.judge(*page)
    places = {one.place for one in first.last.judged}
    again = Try(ledger, Entity.EVENTS, twins={"1": 2})
    again.judge(*reversed(page))
    assert {one.place for one in again.last.judged} == places


def test_a_row_that_another_slice_has_seen_counts_once(ledger):
    delivered(ledger, customer("A"), customer("B"))
    first = Try(ledger, Entity.EVENTS)
    first.judge(event("1", "A"))
    first.send(event("1", "A"))
    other = Try(ledger, Entity.EVENTS, number=2)
    assert other.judge(event("1", "B"), event("2", "B")) == [("2", "goes")]
    assert other.last.met_again == 1


def test_a_row_that_moved_is_a_changed_one_and_a_second_row_of_its_key_a_duplicate(ledger):
    delivered(ledger, customer("A"), customer("B"))
    delivered(ledger, event("1", "A"), event("2", "A"), run_id="events")
    trying = Try(ledger, Entity.EVENTS)
    trying.shop.rows.update({place_of("1"): 1, place_of("2"): 2})
    assert trying.judge(event("1", "B"), event("2", "B")) == [("1", "changed_after_delivery"), ("2", "duplicate_key")]


def test_a_key_that_was_retyped_keeps_what_the_api_has(ledger):
    """
    ``17`` became ``'17'``: the same name for the API, and the source has the old place no more.
    """
    row = customer("17")._replace(place=place_of(17), owner=place_of(17))
    delivered(ledger, row)
    trying = Try(ledger, Entity.CUSTOMERS)
    assert trying.judge(customer("17")) == [("17", "unchanged")]
    (found,) = Rows(ledger).of_keys(Entity.CUSTOMERS, ["17"])["17"]
    assert (found.place, found.has_arrived) == (place_of("17"), True)


def test_of_two_places_of_one_name_the_first_has_it(ledger):
    row = customer("17")._replace(place=place_of(17), owner=place_of(17))
    delivered(ledger, row)
    trying = Try(ledger, Entity.CUSTOMERS)
    trying.shop.rows[place_of(17)] = 1
    assert trying.judge(customer("17")) == [("17", "duplicate_key")]
    assert sorted(trying.judge(customer("19"), customer("19")._replace(place=place_of(19)))) == [
        ("19", "duplicate_key"),
        ("19", "goes"),
    ]


def test_rows_without_a_key_are_known_again_and_are_no_duplicates_of_each_other(ledger):
    page = [
        rejection(Entity.EVENTS, "", "missing_key", owner=owner)._replace(place=f"n{number}")
        for number, owner in enumerate("AAB")
    ]
    first = Try(ledger, Entity.EVENTS, run_id="first")
    assert first.judge(*page) == [("", "missing_key")] * 3
    first.finish()
    again = Try(ledger, Entity.EVENTS)
    again.judge(*page)
    assert all(
        one.since_run != again.writer.lease.run for one in Rows(ledger).at(Entity.EVENTS, ["n0", "n1", "n2"]).values()
    )


def test_a_record_that_no_request_can_carry_is_quarantined(ledger):
    trying = Try(ledger, Entity.CUSTOMERS)
    assert trying.judge(customer("A", content="x" * 3_000)) == [("A", "too_large")]


@pytest.mark.parametrize(
    ("fate", "reason"),
    [
        ("delivered", "goes"),
        ("never read", "customer_missing"),
        ("quarantined", "customer_quarantined"),
        ("held", "customer_held"),
        ("out", "customer_in_doubt"),
        ("in doubt", "customer_in_doubt"),
        ("delivered, then quarantined", "goes"),
    ],
)
@pytest.mark.parametrize("child", [event("1", "A"), transaction("1", "A", 0)], ids=["event", "transaction"])
def test_a_child_goes_only_after_its_customer(ledger, fate, reason, child):
    parent = Try(ledger, Entity.CUSTOMERS, run_id="customers")
    if fate.startswith("delivered"):
        parent.send(customer("A"))
    if fate.endswith("quarantined"):
        later = Try(ledger, Entity.CUSTOMERS, run_id="later")
        later.judge(rejection(Entity.CUSTOMERS, "A", "missing_value", "name"))
    if fate == "held":
        builders.see(parent.writer, builders.end(customer("A"), State.HELD, "api_unavailable"))
    if fate == "out":
        parent.send(customer("A"), receipt=None)
    if fate == "in doubt":
        parent.send(customer("A"), receipt=BatchState.IN_DOUBT)

    assert Try(ledger, child.entity).judge(child) == [("1", reason)]


# --- addresses


SAME = "ana@example.invalid"


def test_an_address_belongs_to_the_lowest_place_that_can_go_and_then_to_whom_the_api_has(ledger):
    trying = Try(ledger, Entity.CUSTOMERS)
    assert trying.judge(customer("B", email=SAME), customer("A", email=SAME)) == [("B", "email_shared"), ("A", "goes")]
    trying.send(customer("A", email=SAME))
    assert trying.judge(customer("0", email=SAME)) == [("0", "email_shared")]
    trying.finish()
    again = Try(ledger, Entity.CUSTOMERS, run_id="later")
    assert again.judge(customer("A", email=SAME, content="newer")) == [("A", "goes")]


@pytest.mark.parametrize("fault", ["too large", "refused", "gone", "another address"])
def test_whoever_cannot_go_or_is_gone_or_has_another_one_owns_no_address(ledger, fault):
    """
    The remedy that the account prints: merge them, or give one another address; then the other
    goes.
    """
    first = Try(ledger, Entity.CUSTOMERS, run_id="first")
    first.judge(customer("A", email=SAME, content="x" * 3_000 if fault == "too large" else ""))
    if fault == "refused":
        number = first.writer.pack(builders.batch([customer("A", email=SAME)]))
        first.writer.mark_sending(number)
        first.writer.convict([customer("A", email=SAME)], number, "refused", "", customer("A", email=SAME).content_hash)
    if fault == "gone":
        with ledger.engine.begin() as connection:
            connection.exec_driver_sql("UPDATE masivo_record SET gone_run = 1")
    if fault == "another address":
        first.judge(customer("A", email="other@example.invalid"))
    first.finish()
    assert Try(ledger, Entity.CUSTOMERS).judge(customer("B", email=SAME)) == [("B", "goes")]


def test_whom_the_api_has_keeps_the_address_even_if_the_row_is_gone(ledger):
    delivered(ledger, customer("A", email=SAME))
    with ledger.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE masivo_record SET gone_run = 1")
    assert Try(ledger, Entity.CUSTOMERS).judge(customer("B", email=SAME)) == [("B", "email_shared")]


@pytest.mark.parametrize("key", ["A", "B"])
def test_whoever_has_an_address_keeps_it_also_where_a_person_said_so_of_two(ledger, key):
    before = Try(ledger, Entity.CUSTOMERS, run_id="adopts", run=RunPolicies(adopts=True))
    before.judge(customer("A", email=SAME), customer("B", email=SAME))
    before.finish()
    trying = Try(ledger, Entity.CUSTOMERS, policies=Policies(changed=Changed(customers="resend")), resends="replace")
    newer = customer(key, email=SAME, content="newer")
    assert trying.judge(newer) == [(key, "goes")]
    trying.send(newer)


@pytest.mark.parametrize("receipt", [ARRIVED, BatchState.IN_DOUBT])
def test_an_address_that_is_at_the_api_or_may_be_is_taken_whatever_its_row_says_today(ledger, receipt):
    before = Try(ledger, Entity.CUSTOMERS, run_id="before")
    before.send(customer("A", email=SAME), receipt=receipt)
    before.finish()
    trying = Try(ledger, Entity.CUSTOMERS)
    trying.judge(rejection(Entity.CUSTOMERS, "A", "email_malformed", "email"))
    assert trying.judge(customer("B", email=SAME)) == [("B", "email_shared")]
    trying.judge(customer("A", email="new@example.invalid"))
    assert trying.judge(customer("B", email=SAME)) == [("B", "email_shared")]


def test_a_swap_of_addresses_is_named_and_a_chain_of_them_frees_itself(ledger):
    one, two = "one@example.invalid", "two@example.invalid"
    delivered(ledger, customer("A", email=one), customer("B", email=two))
    trying = Try(ledger, Entity.CUSTOMERS)
    swapped = customer("A", email=two), customer("B", email=one)
    trying.judge(*swapped)
    assert trying.judge(*swapped) == [("A", "email_swapped"), ("B", "email_swapped")]
    trying.finish()
    again = Try(ledger, Entity.CUSTOMERS, run_id="later")
    assert again.judge(customer("A", email=two), customer("B", email="new@example.invalid")) == [
        ("A", "email_shared"),
        ("B", "goes"),
    ]
    again.send(customer("B", email="new@example.invalid"))
    assert again.judge(customer("A", email=two)) == [("A", "goes")]


# --- a customer's balance and transactions


def test_a_balance_that_changed_waits_for_the_transactions_that_explain_it(ledger):
    delivered(ledger, customer("A", points=5), customer("B", points=5))
    delivered(ledger, transaction("1", "A"), run_id="set")
    policies = Policies(changed=Changed(customers="resend"))
    more = [customer("A", points=9), customer("B", points=9)]
    takes_more = Policies(changed=Changed(customers="resend"), new_transactions="send")
    there, rest, other = transaction("1", "A"), transaction("2", "A", 4), transaction("2", "A", 3)
    for allowed, beside, stand in (
        (policies, [there], "balance_waits"),
        (policies, [there, rest], "balance_waits"),
        (takes_more, [there], "balance_waits"),
        (takes_more, [there, other], "balance_waits"),
        (takes_more, [rest], "goes"),
        (takes_more, [there, rest], "goes"),
    ):
        trying = Try(ledger, Entity.CUSTOMERS, policies=allowed, resends="replace", beside=beside)
        assert trying.judge(*more) == [("A", stand), ("B", "goes")]


def test_a_set_goes_only_if_it_is_the_balance_reward_by_reward(ledger):
    delivered(ledger, customer("A", points=12), customer("B", points=12), customer("C"), customer("D", points=1))
    trying = Try(ledger, Entity.TRANSACTIONS)
    page = [
        *(transaction(f"A{number}", "A", points) for number, points in enumerate([20, -8])),
        *(transaction(f"B{number}", "B", points) for number, points in enumerate([20, -7])),
        *(transaction(f"C{number}", "C", points) for number, points in enumerate([20, -20])),
    ]
    assert trying.judge(*page) == [
        ("A0", "goes"),
        ("A1", "goes"),
        ("B0", "points_do_not_sum"),
        ("B1", "points_do_not_sum"),
        ("C0", "goes"),
        ("C1", "goes"),
    ]


@pytest.mark.parametrize(("other", "verdict"), [("7", "goes"), ("6", "points_do_not_sum")])
def test_a_set_of_two_rewards_is_the_balance_of_each(ledger, other, verdict):
    balance = {"r1": Decimal(5), "r2": Decimal(other)}
    delivered(ledger, customer("A")._replace(points=sum(balance.values()), balance=balance))
    moves = {"T1": ("r1", 5), "T2": ("r2", 7)}
    page = [transaction(key, "A", points)._replace(reward=reward) for key, (reward, points) in moves.items()]
    assert Try(ledger, Entity.TRANSACTIONS).judge(*page) == [("T1", verdict), ("T2", verdict)]


def test_points_are_summed_without_a_rounding_error(ledger):
    delivered(ledger, customer("A", points=0)._replace(balance={"r": Decimal("0.3")}))
    amounts = {"1": "0.1", "2": "0.2"}
    rows = [transaction(key, "A")._replace(reward="r", points=Decimal(amount)) for key, amount in amounts.items()]
    assert Try(ledger, Entity.TRANSACTIONS).judge(*rows) == [("1", "goes"), ("2", "goes")]


@pytest.mark.parametrize(
    "spoilt",
    [
        [rejection(Entity.TRANSACTIONS, "2", "not_a_date", owner="A")],
        [transaction("2", "A", 1), transaction("2", "A", 2)],
        [transaction("2", "A", content="x" * 3_000)],
    ],
    ids=["rejected", "key twice", "too large"],
)
def test_one_bad_transaction_holds_its_siblings_and_nobody_elses(ledger, spoilt):
    delivered(ledger, customer("A", points=5), customer("B", points=5))
    fates = Try(ledger, Entity.TRANSACTIONS).judge(transaction("1", "A"), *spoilt, transaction("3", "B"))
    assert ("1", "sibling_not_sendable") in fates
    assert ("3", "goes") in fates


def test_a_copy_does_not_hold_its_siblings(ledger):
    delivered(ledger, customer("A", points=5))
    fates = Try(ledger, Entity.TRANSACTIONS).judge(transaction("1", "A"), transaction("1", "A"))
    assert sorted(fates) == [("1", "duplicate_row"), ("1", "goes")]


@pytest.mark.parametrize("changed", ["ignore", "hold"])
def test_nor_does_one_that_the_api_has_and_that_a_policy_leaves_as_it_is(ledger, changed):
    """What is unchanged waits for nobody."""
    delivered(ledger, customer("A", points=5))
    delivered(ledger, transaction("1", "A"), run_id="set")
    policies = Policies(changed=Changed(transactions=changed), new_transactions="send")
    trying = Try(ledger, Entity.TRANSACTIONS, policies=policies)
    page = [transaction("1", "A", content="newer" if changed == "ignore" else ""), transaction("2", "A", 0)]
    unchanged = "change_ignored" if changed == "ignore" else "unchanged"
    assert trying.judge(*page) == [("1", unchanged), ("2", "goes")]


def test_a_keyless_transaction_on_an_earlier_page_holds_its_siblings(ledger):
    delivered(ledger, customer("A", points=5))
    trying = Try(ledger, Entity.TRANSACTIONS)
    trying.judge(rejection(Entity.TRANSACTIONS, "", "missing_key", owner="A")._replace(place="n1"))
    assert trying.judge(transaction("1", "A")) == [("1", "sibling_not_sendable")]


def test_a_set_that_no_request_can_carry_is_held(ledger):
    delivered(ledger, customer("A", points=55))
    rows = [transaction(str(number), "A") for number in range(11)]
    assert {reason for _, reason in Try(ledger, Entity.TRANSACTIONS).judge(*rows)} == {"too_many_transactions"}


@pytest.mark.parametrize(
    ("receipt", "reason"), [(ARRIVED, "transactions_already_migrated"), (BatchState.IN_DOUBT, "earlier_in_doubt")]
)
@pytest.mark.parametrize("is_gone", [True, False])
def test_a_customers_transactions_go_once_even_if_the_first_ones_are_gone_or_another_customers(
    ledger, receipt, reason, is_gone
):
    delivered(ledger, customer("A", points=5), customer("B", points=5))
    before = Try(ledger, Entity.TRANSACTIONS, run_id="set")
    before.send(transaction("1", "A"), receipt=receipt)
    before.finish()
    trying = Try(ledger, Entity.TRANSACTIONS)
    if not is_gone:
        trying.shop.rows[place_of("1")] = 1
        trying.judge(transaction("1", "B"))
    assert trying.judge(transaction("2", "A")) == [("2", reason)]


def test_a_set_that_the_api_refused_goes_again_only_with_other_members(ledger):
    delivered(ledger, customer("A", points=5))
    rows = [transaction("1", "A", 3), transaction("2", "A", 2)]
    first = Try(ledger, Entity.TRANSACTIONS, run_id="first")
    first.judge(*rows)
    first.writer.convict(rows, None, "refused", "", set_digest(rows))
    first.finish()
    again = Try(ledger, Entity.TRANSACTIONS, run_id="again")
    assert again.judge(*rows) == [("1", "refused"), ("2", "refused")]
    again.finish()
    corrected = [transaction("1", "A", 3), transaction("3", "A", 2)]
    assert Try(ledger, Entity.TRANSACTIONS).judge(*corrected) == [("1", "goes"), ("3", "goes")]


def test_customers_whom_the_database_takes_for_one_are_not_mixed_up(ledger):
    """
    MySQL's default collation sorts A1 and a1 as equals, so their rows come in one another's midst.
    """
    delivered(ledger, customer("A1", points=10), customer("a1", points=5))
    page = [transaction("1", "A1"), transaction("2", "a1"), transaction("3", "A1")]
    assert sorted(Try(ledger, Entity.TRANSACTIONS).judge(*page)) == [("1", "goes"), ("2", "goes"), ("3", "goes")]


def test_a_new_try_finds_what_was_sent_and_judges_the_rest_as_before(ledger):
    delivered(ledger, customer("A"))
    page = [event("1", "A"), event("1", "A"), event("2", "A"), event("3", "A")]
    first = Try(ledger, Entity.EVENTS)
    first.judge(*page)
    first.send(page[0], page[2])

    again = Try(ledger, Entity.EVENTS)
    assert again.judge(*page) == [("1", "unchanged"), ("1", "duplicate_row"), ("2", "unchanged"), ("3", "goes")]


def test_a_new_try_has_read_back_what_was_out(ledger):
    delivered(ledger, customer("A"))
    first = Try(ledger, Entity.EVENTS)
    first.send(event("1", "A"), receipt=None)

    again = Try(ledger, Entity.EVENTS)
    assert again.judge(event("1", "A"), event("2", "A")) == [("1", "task_died"), ("2", "goes")]
    assert [row.key for row in again.last.unsettled] == ["1"]


EXAMPLES = count()  # they share a ledger, because making one takes longer than using it
ROWS = st.lists(
    st.builds(
        lambda key, owner, content, is_bad: (
            rejection(Entity.EVENTS, key, "missing_value", "name", owner=owner)
            if is_bad
            else event(key, owner, content=content)
        ),
        st.sampled_from(["1", "2", "3", "4", "5"]),
        st.sampled_from("ABC"),
        st.sampled_from(["", "other"]),
        st.booleans(),
    ),
    max_size=12,
)


@given(pages=st.lists(ROWS, max_size=3))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_row_ends_exactly_once_and_no_key_goes_twice(ledger, pages):
    example = next(EXAMPLES)
    if not example:
        delivered(ledger, customer("A"), customer("B"))
    rows = [
        [
            row._replace(key=f"{example}/{row.key}", place=place_of(f"{example}/{row.key}"))
            for row in sorted(page, key=lambda row: row.key)
        ]
        for page in pages
    ]
    counted = Counter(row.key for page in rows for row in page)
    trying = Try(ledger, Entity.EVENTS, run_id=f"run {example}", twins={k: n for k, n in counted.items() if n > 1})
    gone = Counter()
    for page in rows:
        fates = trying.judge(*page)
        assert Counter(key for key, _ in fates) == Counter(row.key for row in page)
        gone.update(key for key, fate in fates if fate == "goes")
    assert all(times == 1 for times in gone.values())
