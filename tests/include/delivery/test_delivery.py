from __future__ import annotations

from collections import Counter

import pytest
from sqlalchemy import select

from masivo_engine.batching.packers import one_request
from masivo_engine.delivery.sender import Sending
from masivo_engine.ledger import schema
from masivo_engine.ledger.rows import Rows
from masivo_engine.model.batches import Purpose
from masivo_engine.model.errors import Stopped, TryAgainLater
from masivo_engine.model.rows import Entity
from masivo_engine.sandbox.faults.faults import Rule, Script
from masivo_engine.sandbox.options import Existing, Leaves
from tests.builders import claimed, see
from tests.include.delivery.delivery_rig import bench, customer, event, transaction
from tests.include.sandbox.bodies import balance


DELIVERED, REFUSED = ("delivered", ""), ("quarantined", "refused")
UNPROVEN, LOST = ("in_doubt", "refusal_unproven"), ("in_doubt", "no_answer")
AGAIN = ("delivered", "sent_again")
LEFT = pytest.mark.parametrize("leaves", Leaves)


def people(*numbers, **fields):
    return [customer(number, **fields) for number in numbers]


def left(leaves):
    """What refusals of every address leave behind."""
    return {"leaves": {entity.value: leaves for entity in Entity}}


def lost(entity, fault, *nth):
    """The *nth* requests of *entity* are lost: before they are accepted, or their answers."""
    path = "/customers/migrate" + ("" if entity is Entity.CUSTOMERS else f"/{entity}")
    return Script(rules=(Rule(faults=(fault,), path=path, nth=nth),))


def once(on):
    """Nothing was taken twice."""
    return max(Counter(on.accepted()).values(), default=0) <= 1


def requests_for(on, purpose):
    with on.ledger.reading() as connection:
        return len(connection.execute(select(schema.batch.c.id).where(schema.batch.c.purpose == purpose)).all())


def known(on, *keys, entity=Entity.CUSTOMERS):
    return [row for rows in Rows(on.ledger).of_keys(entity, keys).values() for row in rows]


@LEFT
def test_a_refused_batch_is_read_back_and_what_is_absent_of_it_taken_apart(tmp_path, leaves):
    with bench(tmp_path, **left(leaves), poison=frozenset({"C3", "C7"})) as on:
        states = on.migrate(people(*range(1, 6)), people(*range(6, 11)), people(*range(11, 16)))
        assert {key for key, state in states.items() if state == REFUSED} == {"C3", "C7"}
        assert {key for key, state in states.items() if state == DELIVERED} == set(states) - {"C3", "C7"}
        assert set(on.accepted()) == set(states) - {"C3", "C7"}
        assert once(on)
        assert all(row.out_batch is None for row in known(on, *states))


@LEFT
def test_the_bad_ones_of_a_large_batch_are_found_and_no_good_one_is_sent_twice(tmp_path, leaves):
    bad = {f"C{number}" for number in (0, 17, 18, 99)}
    with bench(tmp_path, **left(leaves), poison=frozenset(bad)) as on:
        states = on.migrate(people(*range(100)), people(100))
        assert {key for key, state in states.items() if state == REFUSED} == bad
        assert set(on.accepted()) == set(states) - bad
        assert once(on)


@LEFT
def test_nothing_of_a_refused_batch_is_sent_again_while_the_queue_stands_still(tmp_path, leaves):
    with bench(tmp_path, **left(leaves), poison=frozenset({"C3"}), outages=((0.0, 3600.0),)) as on:
        states = on.migrate(people(1, 2, 3), people(4, 5))
        assert {states[key] for key in ("C1", "C2", "C3")} == {UNPROVEN}
        assert {states[key] for key in ("C4", "C5")} == {DELIVERED}
        assert requests_for(on, Purpose.ISOLATION) == 0
        assert once(on)


@LEFT
@pytest.mark.parametrize("certain_after_s", [0.0, 3600.0])
def test_with_nothing_sent_later_what_is_absent_stays_in_doubt_however_long_it_takes(tmp_path, leaves, certain_after_s):
    with bench(tmp_path, certain_after_s=certain_after_s, **left(leaves), poison=frozenset({"C3"})) as on:
        states = on.migrate(people(1, 2, 3))
        assert states["C1"] == (UNPROVEN if leaves is Leaves.NOTHING else DELIVERED)
        assert states["C3"] == UNPROVEN
        assert once(on)


def test_a_refused_batch_is_proved_by_what_is_accepted_while_another_one_is_taken_apart(tmp_path):
    """The last batch is refused, too, so that nothing proves anything of it at first."""
    bad = {"C3", "C17"}
    with bench(tmp_path, poison=frozenset(bad)) as on:
        states = on.migrate(people(*range(10)), people(*range(10, 20)))
        assert {key for key, state in states.items() if state == REFUSED} == bad
        assert {key for key, state in states.items() if state == DELIVERED} == set(states) - bad
        assert once(on)


def test_what_was_given_up_before_proves_nothing_of_what_was_sent_in_between(tmp_path):
    """C1 may be there from its first request, whatever became of C2's."""
    script = lost(Entity.CUSTOMERS, "rst_before", 1, 3)
    with bench(tmp_path, faults=script) as on:
        writer = on.writer(Entity.CUSTOMERS)
        delivery = on.delivery(writer)
        on.deliver(delivery, writer, people(1))
        on.deliver(delivery, writer, people(9))
        assert delivery.settle(()) == ({"tC1"}, [])
        on.deliver(delivery, writer, people(2))
        on.deliver(delivery, writer, people(1))
        assert on.states()["C1"] == AGAIN
        assert delivery.settle(()) == (set(), [])
        assert on.states()["C2"] == LOST


def test_a_batch_of_nothing_but_bad_rows_is_taken_apart_too(tmp_path):
    with bench(tmp_path, **left(Leaves.GOOD), poison=frozenset({"C1", "C2", "C7"})) as on:
        states = on.migrate(people(1, 2), people(3, 4), people(5, 6, 7, 8), people(9, 10))
        assert {key for key, state in states.items() if state == REFUSED} == {"C1", "C2", "C7"}
        assert set(on.accepted()) == set(states) - {"C1", "C2", "C7"}
        assert once(on)


def test_what_is_left_alone_of_a_refused_batch_is_not_convicted_before_it_is_refused_alone(tmp_path):
    """
    Of a batch that is taken up to its first bad record, whoever stands behind that is missing, too.
    """
    with bench(tmp_path, **left(Leaves.GOOD), poison=frozenset({"C2"})) as on:
        writer = on.writer(Entity.CUSTOMERS)
        delivery = on.delivery(writer)
        on.deliver(delivery, writer, people(1, 2, 3))
        on.deliver(delivery, writer, people(4))
        settled, (refused,) = delivery.settle(())
        assert settled == {"tC1", "tC2", "tC3"}
        assert refused.units == [people(2)]
        assert on.states()["C2"] == ("quarantined", "refused_in_company")
        assert known(on, "C2")[0].judged is None
        delivery.take_apart(refused)
        assert on.states()["C2"] == REFUSED


def test_a_record_that_is_refused_alone_has_its_verdict_at_once(tmp_path):
    with bench(tmp_path, poison=frozenset({"C1"})) as on:
        assert on.migrate(people(1)) == {"C1": REFUSED}
        assert on.posts() == 1
        (row,) = known(on, "C1")
        assert (row.out_batch, row.judged) == (None, customer(1).content_hash)


@pytest.mark.parametrize("is_alone", [True, False])
def test_what_may_still_arrive_is_not_convicted_because_it_is_refused_alone(tmp_path, is_alone):
    """
    C1 was given up after a request that was never answered; nobody knows what the API refuses now.
    """
    with bench(tmp_path, poison=frozenset({"C1"}), faults=lost(Entity.CUSTOMERS, "rst_before", 1)) as on:
        writer = on.writer(Entity.CUSTOMERS)
        delivery = on.delivery(writer)
        on.deliver(delivery, writer, people(1))
        on.deliver(delivery, writer, people(2))
        settled, refused = delivery.settle(())
        assert settled == {"tC1"}
        assert refused == []
        (row,) = known(on, "C1")
        assert (row.strays, row.out_batch) == (1, None)
        if not is_alone:  # another run knows of it from the ledger
            writer.finish(2)
            writer = on.writer(Entity.CUSTOMERS)
            delivery = on.delivery(writer)
        on.deliver(delivery, writer, people(1))
        on.deliver(delivery, writer, people(3))
        delivery.settle(())
        assert on.states()["C1"] == ("quarantined", "refused_in_company")
        assert known(on, "C1")[0].judged is None


def test_what_was_never_answered_and_has_not_arrived_is_a_stray_until_it_is_shown(tmp_path):
    with bench(tmp_path, faults=lost(Entity.CUSTOMERS, "rst_before", 1)) as on:
        assert on.migrate(people(1), people(2)) == {"C1": AGAIN, "C2": DELIVERED}
        (row,) = known(on, "C1")
        assert (row.strays, row.stray_hash) == (1, row.hash)
        assert once(on)


def test_what_is_there_and_not_equal_stays_in_doubt_with_a_reason_of_its_own(tmp_path):
    """The answer was lost, and then somebody else changed the customer."""
    with bench(tmp_path, faults=lost(Entity.CUSTOMERS, "rst_after_accept", 1)) as on:
        writer = on.writer(Entity.CUSTOMERS)
        delivery = on.delivery(writer)
        on.deliver(delivery, writer, people(1))
        other = one_request([people(1, email="else@example.invalid", balance=[balance(9)])], 1)
        assert on.hook.post(Entity.CUSTOMERS, other.body).status == 201
        on.deliver(delivery, writer, people(2))
        delivery.settle(())
        assert on.states() == {"C1": ("in_doubt", "differs"), "C2": DELIVERED}
        assert known(on, "C1")[0].out_batch is not None


def test_of_an_account_that_replaces_customers_a_refused_batch_needs_no_proof(tmp_path):
    options = {"existing": Existing.UPDATE, "poison": frozenset({"C3"}), "outages": ((0.0, 3600.0),)}
    with bench(tmp_path, **options) as on:
        on.replaces = True
        states = on.migrate(people(1, 2, 3))
        assert states == {"C1": DELIVERED, "C2": DELIVERED, "C3": REFUSED}


def test_that_an_account_replaces_customers_says_nothing_of_what_was_never_answered(tmp_path):
    with bench(tmp_path, faults=lost(Entity.CUSTOMERS, "rst_before", 1)) as on:
        on.replaces = True
        assert on.migrate(people(1, 2)) == {"C1": LOST, "C2": LOST}


@LEFT
def test_an_api_that_refuses_everything_stops_the_run_after_few_requests(tmp_path, leaves):
    with bench(tmp_path, **left(leaves), poison_rate=1.0) as on:
        with pytest.raises(Stopped, match="looks like the mapping"):
            on.migrate(*(people(*range(n, n + 10)) for n in range(0, 100, 10)))
        assert on.posts() <= 10
        assert on.accepted() == []
        # Nothing shows that the ones that were tried are worse than all others.
        assert "quarantined" not in {state for state, _ in on.states().values()}
        assert all(row.judged is None for row in known(on, *on.states()))


def test_after_a_refused_batch_single_records_go_until_one_is_accepted(tmp_path, monkeypatch):
    sizes, real = [], Sending.send
    monkeypatch.setattr(
        Sending, "send", lambda self, batch, *given: (sizes.append(len(batch.records)), real(self, batch, *given))[1]
    )
    with bench(tmp_path, poison=frozenset({"C0", "C10"})) as on:
        states = on.migrate(people(*range(10)), people(*range(10, 20)), people(*range(20, 30)))
        # The first of the second batch is refused alone, the next one accepted, then the others.
        assert sizes[:5] == [10, 1, 1, 8, 10]
        assert {key for key, state in states.items() if state != DELIVERED} == {"C0", "C10"}
        assert once(on)


def test_three_answers_in_a_row_that_prove_nothing_are_enough(tmp_path):
    script = Script(rules=(Rule(faults=("500", "rst_after_accept")),))
    with bench(tmp_path, faults=script) as on:
        with pytest.raises(TryAgainLater, match="prove nothing"):
            on.migrate(*(people(n) for n in range(9)))
        assert on.posts() == 3
        assert Counter(state for state, _ in on.states().values()) == {"in_doubt": 3}


def test_an_api_that_was_down_for_an_earlier_try_is_asked_once_more(tmp_path):
    script = Script(rules=(Rule(faults=("500",)),))
    with bench(tmp_path, faults=script) as on:
        for numbers in (range(4), range(10, 14)):
            with pytest.raises(TryAgainLater, match="prove nothing"):
                on.migrate(*(people(n) for n in numbers))
        assert on.posts() == 3 + 1


@LEFT
def test_transactions_go_together_whatever_a_refusal_leaves_behind(tmp_path, leaves):
    """Of the customer whose set was taken in part, if one was, the rest is never sent."""
    with bench(tmp_path, **left(leaves), poison=frozenset({"T21"})) as on:
        # So that a part of the second one's set would be taken, too.
        on.migrate([*people(1, 3, 4, 5, balance=[balance(15)]), *people(2, balance=[balance(5)])], people(6))
        sets = [[transaction(f"T{c}{n}", f"C{c}") for n in range(3)] for c in range(1, 6)]
        states = on.migrate([*sets[0], *sets[1], *sets[2]], [*sets[3], *sets[4]])
        of_two = [states[f"T2{n}"] for n in range(3)]
        late = ("held", "transactions_already_migrated")
        expected = {
            Leaves.NOTHING: [REFUSED] * 3,
            Leaves.BEFORE: [DELIVERED, late, late],
            # It is the only one that is left, so nothing is sent after it that could prove
            # anything.
            Leaves.GOOD: [UNPROVEN] * 3,
        }
        assert of_two == expected[leaves]
        others = {state for key, state in states.items() if key.startswith("T") and not key.startswith("T2")}
        assert others == {DELIVERED}
        assert on.sandbox.failures() == []
        assert once(on)


def test_a_set_that_is_refused_alone_is_read_back_before_it_is_convicted(tmp_path):
    with bench(tmp_path, poison=frozenset({"T11"})) as on:
        on.migrate(people(1, 2, balance=[balance(10)]))
        ones, twos = ([transaction(f"T{c}{n}", f"C{c}") for n in range(2)] for c in (1, 2))
        alone = on.migrate(ones)
        assert {alone[key] for key in ("T10", "T11")} == {UNPROVEN}
    with bench(tmp_path / "other", poison=frozenset({"T11"})) as on:
        on.migrate(people(1, 2, balance=[balance(10)]))
        states = on.migrate(ones, twos)
        assert {states[key] for key in ("T10", "T11")} == {REFUSED}
        assert {states[key] for key in ("T20", "T21")} == {DELIVERED}


def test_events_of_a_refused_batch_are_settled_by_what_their_customers_show(tmp_path):
    """
    Customers without metrics show a number as soon as an event is counted; the one whose event was
    refused shows none.
    """
    with bench(tmp_path, **left(Leaves.GOOD), poison=frozenset({"O2"})) as on:
        on.migrate(people(*range(1, 7)))
        states = on.migrate([event(f"O{n}", f"C{n}") for n in (1, 2, 3)], [event(f"O{n}", f"C{n}") for n in (4, 5, 6)])
        assert states["O2"] in {REFUSED, UNPROVEN}
        assert {states[f"O{n}"] for n in (4, 5, 6)} == {DELIVERED}
        assert {states[f"O{n}"] for n in (1, 3)} <= {DELIVERED, UNPROVEN}
        assert once(on)


def test_a_part_whose_answer_is_lost_while_a_batch_is_taken_apart_is_not_sent_in_vain_nor_twice(tmp_path):
    """The first request that takes the batch apart arrives, and its answer does not."""
    options = {"poison": frozenset({"C3"}), "faults": lost(Entity.CUSTOMERS, "rst_after_accept", 3)}
    with bench(tmp_path, **options) as on:
        states = on.migrate(people(*range(1, 6)), people(6))
        assert states["C3"] == REFUSED
        assert {state for key, state in states.items() if key != "C3"} == {DELIVERED}
        assert once(on)


def test_a_part_that_is_lost_while_a_batch_is_taken_apart_is_sent_again(tmp_path):
    options = {"poison": frozenset({"C3"}), "faults": lost(Entity.CUSTOMERS, "rst_before", 3)}
    with bench(tmp_path, **options) as on:
        states = on.migrate(people(*range(1, 6)), people(6))
        assert states["C3"] == REFUSED
        assert {state for key, state in states.items() if key != "C3"} == {DELIVERED, AGAIN}
        assert once(on)


def test_a_dead_try_leaves_a_refused_batch_in_doubt(tmp_path):
    with bench(tmp_path, poison=frozenset({"C3"})) as on:
        writer = on.writer(Entity.CUSTOMERS)
        see(writer, *people(1, 2, 3))
        on.sending(writer).send(one_request([[one] for one in people(1, 2, 3)], 1))
        claimed(on.ledger, writer.lease.run)
        assert set(on.states().values()) == {UNPROVEN}


def test_what_a_dead_try_left_of_a_refused_batch_is_settled_by_the_next_one(tmp_path):
    with bench(tmp_path, **left(Leaves.GOOD), poison=frozenset({"C3"})) as on:
        writer = on.writer(Entity.CUSTOMERS)
        see(writer, *people(1, 2, 3))
        on.sending(writer).send(one_request([[one] for one in people(1, 2, 3)], 1))
        writer = claimed(on.ledger, writer.lease.run)
        delivery = on.delivery(writer)
        on.deliver(delivery, writer, people(4))
        settled, refused = delivery.settle({"tC1", "tC2", "tC3"})
        assert (settled, refused) == ({"tC1", "tC2", "tC3"}, [])
        states = on.states()
        assert {states[key] for key in ("C1", "C2", "C4")} == {DELIVERED}
        assert states["C3"] == ("quarantined", "refused_in_company")
        assert delivery.was_refused(people(3))
        assert not delivery.was_refused(people(1, 2))


@pytest.mark.parametrize("fault", ["403_page", "406_page", "403", "422_html", "422_angle"])
def test_what_a_firewall_does_not_like_is_one_record_and_all_others_go(tmp_path, fault):
    rules = (Rule(faults=(fault,), says=chr(34) + "C7" + chr(34)),)
    with bench(tmp_path, faults=Script(rules=rules)) as on:
        batches = [[customer(number) for number in range(first, first + 4)] for first in (1, 5, 9)]
        made = on.migrate(*batches)
        assert made.pop("C7") == ("quarantined", "refused")
        assert set(made.values()) == {("delivered", "")}
        assert sorted(on.accepted()) == sorted(made)


def test_a_yes_that_counts_fewer_than_were_sent_is_read_back(tmp_path):
    rules = (Rule(faults=("201_fewer",), nth=(1,)),)
    with bench(tmp_path, faults=Script(rules=rules), settle_after_s=0.0) as on:
        made = on.migrate([customer(1), customer(2)], [customer(3)])
        assert made["C3"] == ("delivered", "")
        assert {state for state, _ in made.values()} <= {"delivered", "in_doubt"}
        assert sorted(on.accepted()) == ["C1", "C2", "C3"]
