"""Packing: what goes in comes out once, in order, under every cap, in the fewest requests."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby, pairwise

import orjson
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from masivo_engine.batching.capacity import fit_by_far, fits_alone
from masivo_engine.batching.lower_bound import least_requests
from masivo_engine.batching.packers import OPEN_REQUESTS, packer_for
from masivo_engine.contract.fields import LONGEST_KEY
from masivo_engine.model.batches import Batch
from masivo_engine.model.limits import Limits
from masivo_engine.model.rows import Entity, Record


PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no failure
WIDE = 10**9  # a number of bytes that never matters
AWKWARD = ('C"1', "C\\2", "é", "\u2028", "日本", "C\n6", "", "C 7")


def record(entity: Entity, customer: str, key: str, padding: int = 0) -> Record:
    payload = {"id": customer} if entity is Entity.CUSTOMERS else {"key": key}
    body = orjson.dumps(payload | {"zz": "x" * padding}, option=orjson.OPT_SORT_KEYS)
    return Record(entity, key, customer, body, content_hash=b"")


def groups_of(entity: Entity, counts: Iterable[int]) -> list[list[Record]]:
    """One group a customer, as big as *counts* says."""
    return [[record(entity, f"C{i}", f"{i}.{n}") for n in range(count)] for i, count in enumerate(counts)]


def packed(entity: Entity, groups: Iterable[Sequence[Record]], limits: Limits) -> list[Batch]:
    packer = packer_for(entity, limits)
    return [*(batch for group in groups for batch in packer.add(group)), *packer.close()]


def canonical(batch: Batch) -> bytes:
    """What the whole payload would be if it was serialised in one piece."""
    listed: dict[str, list[object]] = {}
    for one in batch.records:
        listed.setdefault(one.customer, []).append(orjson.loads(one.body))
    customers = (
        [orjson.loads(one.body) for one in batch.records]
        if batch.entity is Entity.CUSTOMERS
        else [{"id": customer, batch.entity.value: payloads} for customer, payloads in listed.items()]
    )
    return orjson.dumps({"customers": customers}, option=orjson.OPT_SORT_KEYS)


def best_fit_decreasing(counts: Iterable[int], capacity: int) -> int:
    rooms: list[int] = []
    for count in sorted(counts, reverse=True):
        fitting = [i for i, room in enumerate(rooms) if room >= count]
        if fitting:
            rooms[min(fitting, key=rooms.__getitem__)] -= count
        else:
            rooms.append(capacity - count)
    return len(rooms)


def fewest_possible(counts: list[int], capacity: int) -> int:
    """The optimum, by trying everything; for a handful of customers."""
    fewest = len(counts)

    def place(index: int, rooms: list[int]) -> None:
        nonlocal fewest
        if len(rooms) >= fewest:
            return
        if index == len(counts):
            fewest = len(rooms)
            return
        for i in range(len(rooms)):
            if rooms[i] >= counts[index]:
                place(index + 1, [*rooms[:i], rooms[i] - counts[index], *rooms[i + 1 :]])
        place(index + 1, [*rooms, capacity - counts[index]])

    place(0, [])
    return fewest


@st.composite
def loads(draw: st.DrawFn, entity: Entity) -> tuple[list[list[Record]], Limits]:
    """Groups that can each be sent by itself, and limits that bite."""
    limits = Limits(
        records=draw(st.integers(1, 12)),
        customers=draw(st.integers(1, 12)),
        body_bytes=draw(st.sampled_from((WIDE, 400, 150))),
    )
    names = (*AWKWARD, *(f"C{i}" for i in range(30)))
    length = draw(st.integers(0, len(names)))
    once = entity is not Entity.EVENTS
    customers = draw(st.lists(st.sampled_from(names), min_size=length, max_size=length, unique=once))
    most = 1 if entity is Entity.CUSTOMERS else draw(st.integers(1, 15))
    groups = []
    for number, customer in enumerate(customers):
        paddings = draw(st.lists(st.integers(0, 60), min_size=1, max_size=most))
        groups.append([record(entity, customer, f"{number}.{n}", padding) for n, padding in enumerate(paddings)])
    return [group for group in groups if fits_alone(group, limits)], limits


ANY_LOAD = st.sampled_from(Entity).flatmap(lambda entity: st.tuples(st.just(entity), loads(entity)))


@PATIENT
@given(ANY_LOAD)
def test_what_comes_out_is_what_went_in_once_and_in_order_inside_a_customer(
    load: tuple[Entity, tuple[list[list[Record]], Limits]],
) -> None:
    entity, (groups, limits) = load

    batches = packed(entity, groups, limits)

    went_in, came_out = defaultdict(list), defaultdict(list)
    for group in groups:
        for one in group:
            went_in[one.customer].append(one.key)
    for batch in batches:
        for one in batch.records:
            came_out[one.customer].append(one.key)
    assert came_out == went_in
    assert [batch.number for batch in batches] == list(range(1, len(batches) + 1))


@PATIENT
@given(ANY_LOAD)
def test_every_cap_holds_and_the_body_is_the_canonical_json_of_its_records(
    load: tuple[Entity, tuple[list[list[Record]], Limits]],
) -> None:
    entity, (groups, limits) = load

    for batch in packed(entity, groups, limits):
        assert batch.entity is entity
        assert 1 <= len(batch.records) <= limits.records
        assert 1 <= batch.customers <= limits.customers
        assert len(batch.body) <= limits.body_bytes
        assert batch.body == canonical(batch)
        listed = [customer["id"] for customer in orjson.loads(batch.body)["customers"]]
        assert [customer for customer, _ in groupby(one.customer for one in batch.records)] == listed


@PATIENT
@given(loads(Entity.TRANSACTIONS))
def test_a_customers_transactions_are_never_split(load: tuple[list[list[Record]], Limits]) -> None:
    groups, limits = load

    batches = packed(Entity.TRANSACTIONS, groups, limits)

    seen = Counter(customer for batch in batches for customer in {one.customer for one in batch.records})
    assert set(seen.values()) <= {1}


@PATIENT
@given(
    st.sampled_from((Entity.CUSTOMERS, Entity.EVENTS)), st.lists(st.integers(1, 30), max_size=40), st.integers(1, 12)
)
def test_customers_and_events_need_no_request_too_many(entity: Entity, counts: list[int], records: int) -> None:
    counts = [1] * sum(counts) if entity is Entity.CUSTOMERS else counts
    limits = Limits(records=records, customers=records, body_bytes=WIDE)

    batches = packed(entity, groups_of(entity, counts), limits)

    assert len(batches) == least_requests(entity, counts, limits) == -(-sum(counts) // records)
    assert all(len(batch.records) == records for batch in batches[:-1])


@PATIENT
@given(st.lists(st.integers(3, 10), min_size=20, max_size=80))
def test_only_a_few_requests_are_ever_open(counts: list[int]) -> None:
    packer = packer_for(Entity.TRANSACTIONS, Limits(records=10))

    inside = 0
    for group in groups_of(Entity.TRANSACTIONS, counts):
        inside += len(group) - sum(len(batch.records) for batch in packer.add(group))
        assert inside <= OPEN_REQUESTS * 10

    assert inside == sum(len(batch.records) for batch in packer.close())


@PATIENT
@given(st.lists(st.integers(0, 12), max_size=7), st.integers(1, 5))
def test_the_least_possible_is_never_more_than_the_optimum(counts: list[int], customers: int) -> None:
    limits = Limits(records=10, customers=customers)
    sendable = [count for count in counts if 1 <= count <= 10]

    least = least_requests(Entity.TRANSACTIONS, counts, limits)

    assert least >= -(-sum(sendable) // 10)
    assert -(-len(sendable) // customers) <= least <= max(fewest_possible(sendable, 10), -(-len(sendable) // customers))


@pytest.mark.parametrize("shape", ["like real purchases", "many small", "geometric", "heavy tail"])
def test_transactions_pack_as_well_as_if_all_counts_were_known(shape: str) -> None:
    chance = random.Random(5)
    sizes: dict[str, tuple[Callable[[], float], int]] = {
        "like real purchases": (lambda: chance.lognormvariate(3.9, 0.8), 500),
        "many small": (lambda: chance.expovariate(1 / 5), 4000),
        "geometric": (lambda: chance.expovariate(1 / 70), 400),
        "heavy tail": (lambda: chance.paretovariate(1.2), 6000),
    }
    draw, customers = sizes[shape]
    counts = [min(1000, int(draw()) + 1) for _ in range(customers)]

    batches = packed(Entity.TRANSACTIONS, groups_of(Entity.TRANSACTIONS, counts), Limits())

    assert len(batches) <= best_fit_decreasing(counts, 1000) + 1
    assert len(batches) <= 1.01 * least_requests(Entity.TRANSACTIONS, counts, Limits()) + 1


def test_large_customers_are_packed_anew_before_a_half_empty_request_goes() -> None:
    chance = random.Random(5)
    counts = [chance.randint(10, 60) for _ in range(800)]
    limits = Limits(records=100)

    batches = packed(Entity.TRANSACTIONS, groups_of(Entity.TRANSACTIONS, counts), limits)

    assert len(batches) <= 1.02 * least_requests(Entity.TRANSACTIONS, counts, limits)


def test_all_requests_that_packing_anew_fills_go_at_once() -> None:
    *before, last = groups_of(Entity.TRANSACTIONS, [5, 4, 5, 4, *[6] * 13, 5, 7])
    packer = packer_for(Entity.TRANSACTIONS, Limits(records=10))

    assert [batch for group in before for batch in packer.add(group)] == []
    assert [len(batch.records) for batch in packer.add(last)] == [10, 10, 10]


def test_a_request_is_given_in_the_call_that_fills_it() -> None:
    for entity in Entity:
        packer = packer_for(entity, Limits(records=2))
        first, second, third = (record(entity, customer, customer) for customer in ("A", "B", "C"))

        assert packer.add([first]) == []
        assert [batch.records for batch in packer.add([second])] == [(first, second)]
        assert packer.add([third]) == []
        assert [(batch.number, batch.records) for batch in packer.close()] == [(2, (third,))]
        assert packer.close() == []


def test_a_customer_with_more_events_than_a_request_carries_goes_on_in_the_next() -> None:
    batches = packed(Entity.EVENTS, groups_of(Entity.EVENTS, [1, 7]), Limits(records=3))

    assert [[one.customer for one in batch.records] for batch in batches] == [
        ["C0", "C1", "C1"],
        ["C1"] * 3,
        ["C1"] * 2,
    ]


def test_events_of_one_customer_come_under_one_entry_even_if_others_came_between() -> None:
    groups = [[record(Entity.EVENTS, customer, key)] for customer, key in (("A", "1"), ("B", "2"), ("A", "3"))]

    (batch,) = packed(Entity.EVENTS, groups, Limits())

    assert [one.key for one in batch.records] == ["1", "3", "2"]
    assert [customer["id"] for customer in orjson.loads(batch.body)["customers"]] == ["A", "B"]


def test_open_requests_are_joined_at_the_end() -> None:
    # As they come, 5 and 4 share a request, and 6 and the other 5 have one each.
    batches = packed(Entity.TRANSACTIONS, groups_of(Entity.TRANSACTIONS, [5, 4, 6, 5]), Limits(records=10))

    assert [len(batch.records) for batch in batches] == [10, 10]


@pytest.mark.parametrize("entity", Entity)
def test_a_body_may_be_exactly_as_large_as_allowed_and_no_byte_larger(entity: Entity) -> None:
    groups = [[record(entity, customer, customer, padding=20)] for customer in AWKWARD]
    (whole,) = packed(entity, groups, Limits(body_bytes=WIDE))

    assert len(packed(entity, groups, Limits(body_bytes=len(whole.body)))) == 1
    assert len(packed(entity, groups, Limits(body_bytes=len(whole.body) - 1))) == 2


@pytest.mark.parametrize("entity", Entity)
def test_a_record_that_fits_no_request_is_an_error_that_names_entity_and_size(entity: Entity) -> None:
    group = [record(entity, "C1", "secret", padding=100)]
    (alone,) = packed(entity, [group], Limits())

    assert fits_alone(group, Limits(body_bytes=len(alone.body)))
    assert not fits_alone(group, Limits(body_bytes=len(alone.body) - 1))
    with pytest.raises(ValueError, match=rf"{entity}: 1 record.* \d+ bytes .* fits_alone") as caught:
        packer_for(entity, Limits(body_bytes=len(alone.body) - 1)).add(group)
    assert "secret" not in str(caught.value)


def test_more_transactions_of_a_customer_than_a_request_carries_are_an_error() -> None:
    (group,) = groups_of(Entity.TRANSACTIONS, [4])

    assert not fits_alone(group, Limits(records=3))
    with pytest.raises(ValueError, match=r"transactions: 4 record.*request of 3"):
        packer_for(Entity.TRANSACTIONS, Limits(records=3)).add(group)


def test_a_group_of_transactions_belongs_to_one_customer() -> None:
    both = [record(Entity.TRANSACTIONS, "A", "1"), record(Entity.TRANSACTIONS, "B", "2")]

    with pytest.raises(ValueError, match="several customers"):
        packer_for(Entity.TRANSACTIONS, Limits()).add(both)


@pytest.mark.parametrize("entity", Entity)
@given(size=st.integers(1, 3000), more=st.integers(0, 1500), name=st.text(max_size=LONGEST_KEY))
def test_what_fits_by_far_fits_alone(entity: Entity, size: int, more: int, name: str) -> None:
    records = [Record(entity, "K", name, b"x" * size, content_hash=b"")]
    limits = Limits(body_bytes=size + more)

    assert fits_alone(records, limits) or not fit_by_far(records, limits)


@PATIENT
@given(loads(Entity.EVENTS))
def test_a_group_goes_in_as_its_records_one_by_one_would(load: tuple[list[list[Record]], Limits]) -> None:
    groups, limits = load
    singly = [[one] for group in groups for one in group]

    assert packed(Entity.EVENTS, groups, limits) == packed(Entity.EVENTS, singly, limits)


def test_an_event_fits_alone_however_many_its_customer_has() -> None:
    (group,) = groups_of(Entity.EVENTS, [9])

    assert fits_alone(group, Limits(records=3))
    assert fits_alone([], Limits())


def test_whole_customers_may_need_more_than_their_sum() -> None:
    limits = Limits(records=1000, customers=1000)

    assert least_requests(Entity.TRANSACTIONS, [600, 600, 600], limits) == 3
    assert least_requests(Entity.EVENTS, [600, 600, 600], limits) == 2
    assert least_requests(Entity.TRANSACTIONS, [5000], limits) == 0
    assert least_requests(Entity.EVENTS, [1] * 30, Limits(customers=10)) == 3
    assert least_requests(Entity.CUSTOMERS, [], limits) == 0


@PATIENT
@given(st.sampled_from(Entity), st.lists(st.integers(1, 10), min_size=1, max_size=60))
def test_the_same_input_gives_the_same_batches(entity: Entity, counts: list[int]) -> None:
    assume(entity is not Entity.CUSTOMERS or max(counts) == 1)
    groups = groups_of(entity, counts)

    first, second = (packed(entity, groups, Limits(records=10)) for _ in range(2))

    assert first == second
    assert all(earlier.number + 1 == later.number for earlier, later in pairwise(first))
