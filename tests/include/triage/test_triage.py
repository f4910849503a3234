"""
What becomes of each row that was read: every row ends once, for its own fault first, and a
customer's transactions go together.
"""

from __future__ import annotations

import threading
from collections import Counter
from decimal import Decimal
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from masivo_engine.ledger.history.entries import Knowledge
from masivo_engine.ledger.writing.email_claims import claim
from sqlalchemy import make_url

from masivo.connections import engines
from masivo_engine.ledger.connection import Ledger
from masivo_engine.ledger.runs.runs import begin_run
from masivo_engine.model.batches import BatchState, Receipt
from masivo_engine.model.limits import Limits
from masivo_engine.model.rows import Entity, Entry, Rejection, State
from masivo_engine.triage.triage import Triage
from tests.builders import batch, customer, event, one_slice, plan_slices, transaction


LIMITS = Limits(records=10, body_bytes=2_000)
ARRIVED = BatchState.DELIVERED


@pytest.fixture
def ledger(sqlite_url):
    engine = engines.ledger(make_url(sqlite_url))
    made = Ledger(engine, "account")
    made.prepare()
    yield made
    engine.dispose()


class Try:
    """One try of one slice: judges pages, and enters what comes of them as the engine does."""

    def __init__(self, ledger, entity, *, run_id="run", number=1):
        self.ledger = ledger
        run = begin_run(ledger, run_id, mapping="sample", mapping_hash="00", covers="{}").number
        plan_slices(ledger, run, entity, [one_slice(entity, 1, 2, None, 5), one_slice(entity, 2, 2, 5, None)])
        self.lease = ledger.claim(run, entity, number)
        self.triage = Triage(Knowledge(ledger), self.lease, LIMITS)
        self.fates = []

    def judge(self, *rows):
        """Judge a page; return (key, reason) of what is not sent and (key, "goes") of what is."""
        judged = self.triage.judge(rows)
        self.ledger.enter(self.lease, judged.entries, judged.outdated)
        self.fates = [(entry.row.key, entry.reason or entry.state) for entry in judged.entries]
        self.fates += [(record.key, "goes") for group in judged.groups + judged.suspects for record in group]
        return self.fates

    def send(self, *records, receipt=ARRIVED):
        """Send *records*; without a receipt the task dies while they are out."""
        number = self.ledger.pack(self.lease, batch(records))
        self.ledger.sending(self.lease, number)
        if receipt:
            self.ledger.receive(self.lease, number, Receipt(receipt, 201, 0.1))
        self.triage.entered(batch(records))

    def finish(self):
        self.ledger.finish(self.lease, 0)


def delivered(ledger, *records, run_id="before"):
    """Have *records* delivered by an earlier run."""
    trying = Try(ledger, records[0].entity, run_id=run_id)
    trying.send(*records)
    trying.finish()


def rejection(entity, key, owner, reason="missing_value", column="name"):
    return Rejection(entity, key, owner, reason, column, "nothing")


def test_a_rejection_is_quarantined_for_its_own_reason(ledger):
    trying = Try(ledger, Entity.CUSTOMERS)
    judged = trying.triage.judge([rejection(Entity.CUSTOMERS, "A", "A")])
    (entry,) = judged.entries
    assert (entry.state, entry.reason, entry.column, entry.shape) == (
        State.QUARANTINED,
        "missing_value",
        "name",
        "nothing",
    )


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


def test_a_key_that_comes_again_on_a_later_page_or_slice_is_a_duplicate(ledger):
    delivered(ledger, customer("A"), customer("B"))
    trying = Try(ledger, Entity.EVENTS)
    assert trying.judge(event("1", "A")) == [("1", "goes")]
    assert trying.judge(event("1", "B")) == [("1", "duplicate_key")]
    trying.send(event("1", "A"))
    assert trying.judge(event("1", "B", content="other")) == [("1", "duplicate_key")]
    trying.finish()

    assert Try(ledger, Entity.EVENTS, number=2).judge(event("1", "B")) == [("1", "duplicate_key")]


def test_a_row_that_another_slice_gave_up_for_one_that_never_went_does_not_hold_it_back(ledger):
    """Slice 1 had packed the key and died; slice 2 took its own row for the second one."""
    delivered(ledger, customer("A"), customer("B"))
    first = Try(ledger, Entity.EVENTS)
    ledger.pack(first.lease, batch([event("1", "A")]))
    other = Try(ledger, Entity.EVENTS, number=2)
    judged = other.triage.judge([event("1", "B")])
    assert [entry.reason for entry in judged.entries] == ["duplicate_key"]
    ledger.enter(other.lease, judged.entries)
    assert Try(ledger, Entity.EVENTS).judge(event("1", "A")) == [("1", "goes")]


def test_rows_of_one_key_that_another_slice_has_read_together_hold_back_a_third(ledger):
    delivered(ledger, customer("A"), customer("B"))
    other = Try(ledger, Entity.EVENTS, number=2)
    judged = other.triage.judge([event("1", "B"), event("1", "B", content="other")])
    ledger.enter(other.lease, judged.entries)
    assert Try(ledger, Entity.EVENTS).judge(event("1", "A")) == [("1", "duplicate_key")]


def test_rows_without_a_key_are_no_duplicates_of_each_other(ledger):
    trying = Try(ledger, Entity.EVENTS)
    page = [rejection(Entity.EVENTS, "", owner, "missing_key") for owner in "AAB"]
    assert trying.judge(*page) == [("", "missing_key")] * 3


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
        ("packed", "customer_held"),
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
        later.judge(rejection(Entity.CUSTOMERS, "A", "A"))
    if fate == "held":
        ledger.enter(parent.lease, [Entry(customer("A"), State.HELD, "api_unavailable")])
    if fate == "packed":
        ledger.pack(parent.lease, batch([customer("A")]))
    if fate == "out":
        parent.send(customer("A"), receipt=None)
    if fate == "in doubt":
        parent.send(customer("A"), receipt=BatchState.IN_DOUBT)

    assert Try(ledger, child.entity).judge(child) == [("1", reason)]


def test_the_same_content_is_unchanged_and_any_other_is_held(ledger):
    delivered(ledger, customer("A"), customer("B"))
    delivered(ledger, event("1", "A"), event("2", "A"), event("3", "A"))
    trying = Try(ledger, Entity.EVENTS)
    assert trying.judge(event("1", "A"), event("2", "A", content="newer"), event("3", "B")) == [
        ("1", "unchanged"),
        ("2", "changed_after_delivery"),
        ("3", "changed_after_delivery"),
    ]


def test_what_waited_is_superseded_by_what_is_read_now_and_by_nothing_else(ledger):
    before = Try(ledger, Entity.CUSTOMERS, run_id="before")
    before.judge(rejection(Entity.CUSTOMERS, "A", "A"), rejection(Entity.CUSTOMERS, "a", "a"))
    before.finish()
    Try(ledger, Entity.CUSTOMERS).judge(customer("A"))
    with ledger.reading() as connection:
        found = connection.exec_driver_sql("SELECT key, state FROM masivo_entry ORDER BY id").all()
    assert found == [("A", "superseded"), ("a", "quarantined")]


def test_an_address_belongs_to_the_first_who_has_it(ledger):
    trying = Try(ledger, Entity.CUSTOMERS)
    same = "ana@example.invalid"
    assert trying.judge(customer("A", email=same), customer("B", email=same)) == [("B", "email_shared"), ("A", "goes")]
    assert trying.judge(customer("C", email=same)) == [("C", "email_shared")]
    trying.finish()
    again = Try(ledger, Entity.CUSTOMERS, run_id="later")
    assert again.judge(customer("B", email=same)) == [("B", "email_shared")]
    assert again.judge(customer("A", email=same, content="newer")) == [("A", "goes")]


def test_a_customer_who_is_rejected_claims_no_address(ledger):
    trying = Try(ledger, Entity.CUSTOMERS)
    trying.judge(customer("A", email="x@example.invalid", content="x" * 3_000))
    assert trying.judge(customer("B", email="x@example.invalid")) == [("B", "goes")]


def test_two_tasks_that_claim_at_once_agree_on_the_owners(ledger_url):
    engine = engines.ledger(make_url(ledger_url))
    ledger = Ledger(engine, "account")
    ledger.prepare()
    digests = [ledger.digest(str(number)) for number in range(200)]
    owners = {}
    start = threading.Barrier(2)

    def task(name, order):
        start.wait()
        for at in range(0, 200, 20):
            owners.setdefault(name, {}).update(claim(ledger.engine, "email", [(d, name) for d in order[at : at + 20]]))

    tasks = [
        threading.Thread(target=task, args=("A", digests)),
        threading.Thread(target=task, args=("B", digests[::-1])),
    ]
    for one in tasks:
        one.start()
    for one in tasks:
        one.join()

    assert owners["A"] == owners["B"]
    assert len(owners["A"]) == 200
    engine.dispose()


def test_a_set_goes_only_if_it_is_the_balance_reward_by_reward(ledger):
    delivered(ledger, customer("A", points=12), customer("B", points=12), customer("C"), customer("D", points=1))
    trying = Try(ledger, Entity.TRANSACTIONS)
    page = [
        *(transaction(f"A{number}", "A", points) for number, points in enumerate([20, -8])),
        *(transaction(f"B{number}", "B", points) for number, points in enumerate([20, -7])),
        *(transaction(f"C{number}", "C", points) for number, points in enumerate([20, -20])),
    ]
    assert trying.judge(*page) == [
        ("B0", "points_do_not_sum"),
        ("B1", "points_do_not_sum"),
        ("A0", "goes"),
        ("A1", "goes"),
        ("C0", "goes"),
        ("C1", "goes"),
    ]


def test_points_are_summed_without_a_rounding_error(ledger):
    delivered(ledger, customer("A", points=0)._replace(balance={"r": Decimal("0.3")}))
    amounts = {"1": "0.1", "2": "0.2"}
    rows = [transaction(key, "A")._replace(reward="r", points=Decimal(amount)) for key, amount in amounts.items()]
    assert Try(ledger, Entity.TRANSACTIONS).judge(*rows) == [("1", "goes"), ("2", "goes")]


@pytest.mark.parametrize(
    "spoilt",
    [
        [rejection(Entity.TRANSACTIONS, "2", "A", "not_a_date")],
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


def test_a_keyless_transaction_on_an_earlier_page_holds_its_siblings(ledger):
    delivered(ledger, customer("A", points=5))
    trying = Try(ledger, Entity.TRANSACTIONS)
    trying.judge(rejection(Entity.TRANSACTIONS, "", "A", "missing_key"))
    assert trying.judge(transaction("1", "A")) == [("1", "sibling_not_sendable")]


def test_a_set_that_no_request_can_carry_is_held(ledger):
    delivered(ledger, customer("A", points=55))
    rows = [transaction(str(number), "A") for number in range(11)]
    assert {reason for _, reason in Try(ledger, Entity.TRANSACTIONS).judge(*rows)} == {"too_many_transactions"}


@pytest.mark.parametrize(
    ("receipt", "reason"), [(ARRIVED, "transactions_already_migrated"), (BatchState.IN_DOUBT, "earlier_in_doubt")]
)
def test_a_customers_transactions_go_once_even_if_the_first_ones_are_gone(ledger, receipt, reason):
    delivered(ledger, customer("A", points=5))
    before = Try(ledger, Entity.TRANSACTIONS, run_id="set")
    before.send(transaction("1", "A"), receipt=receipt)
    before.finish()
    assert Try(ledger, Entity.TRANSACTIONS).judge(transaction("2", "A")) == [("2", reason)]


def test_customers_whom_the_database_takes_for_one_are_not_mixed_up(ledger):
    """
    MySQL's default collation sorts A1 and a1 as equals, so their rows come in one another's midst.
    """
    delivered(ledger, customer("A1", points=10), customer("a1", points=5))
    page = [transaction("1", "A1"), transaction("2", "a1"), transaction("3", "A1")]
    assert sorted(Try(ledger, Entity.TRANSACTIONS).judge(*page)) == [("1", "goes"), ("2", "goes"), ("3", "goes")]


def test_a_new_try_skips_what_was_sent_and_judges_the_rest_as_before(ledger):
    delivered(ledger, customer("A"))
    page = [event("1", "A"), event("1", "A"), event("2", "A"), event("3", "A")]
    first = Try(ledger, Entity.EVENTS)
    first.judge(*page)
    first.send(page[0], page[2])

    again = Try(ledger, Entity.EVENTS)
    assert again.judge(*page) == [("1", "duplicate_row"), ("3", "goes")]


def test_a_new_try_has_read_back_what_was_out(ledger):
    delivered(ledger, customer("A"))
    first = Try(ledger, Entity.EVENTS)
    first.send(event("1", "A"), receipt=None)

    again = Try(ledger, Entity.EVENTS)
    judged = again.triage.judge([event("1", "A"), event("2", "A")])
    assert [doubt.record.key for doubt in judged.doubts] == ["1"]
    assert [record.key for group in judged.groups for record in group] == ["2"]


EXAMPLES = count()  # they share a ledger, because making one takes longer than using it
ROWS = st.lists(
    st.builds(
        lambda key, owner, content, is_bad: (
            rejection(Entity.EVENTS, key, owner) if is_bad or not key else event(key, owner, content=content)
        ),
        st.sampled_from(["", "1", "2", "3", "4", "5"]),
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
    trying = Try(ledger, Entity.EVENTS, run_id=f"run {example}")
    gone = Counter()
    for page in pages:
        rows = [row._replace(key=row.key and f"{example}/{row.key}") for row in page]
        fates = trying.judge(*rows)
        assert Counter(key for key, _ in fates) == Counter(row.key for row in rows)
        gone.update(key for key, fate in fates if fate == "goes")
    assert all(times == 1 for times in gone.values())
