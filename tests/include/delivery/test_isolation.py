from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masivo_engine.batching.packers import one_request
from masivo_engine.batching.units import units_of
from masivo_engine.delivery.breaker import Breaker
from masivo_engine.delivery.isolation import Refused, isolate
from masivo_engine.delivery.refusal_text import culprits
from masivo_engine.model.answers import Answer
from masivo_engine.model.limits import Limits
from masivo_engine.model.rows import Entity
from tests.builders import customer, event, transaction
from tests.include.delivery.refusing_api import RefusingApi, send_all, take_apart


LIMITS = Limits(records=20, customers=20)


def place(batch, record):
    customers = list(dict.fromkeys(other.customer for other in batch.records))
    name = f"customers[{customers.index(record.customer)}]"
    if record.entity is Entity.EVENTS:
        siblings = [other for other in batch.records if other.customer == record.customer]
        name += f".events[{siblings.index(record)}]"
    return name


def says(what):
    return lambda bad, batch: "Invalid customer entry: " + "; ".join(what(batch, record) for record in bad)


# What the prose says of the bad records; the last ones mislead.
TELLINGS = {
    "opaque": lambda _bad, _batch: "Invalid customer entry",
    "nothing": lambda _bad, _batch: "",
    "names one by id": lambda bad, _batch: f"Invalid customer entry: '{bad[0].customer}' (it is not acceptable)",
    "names all by id": says(lambda _batch, record: f"'{record.customer}'"),
    "names all by key": says(lambda _batch, record: f"'{record.key}' (amount is not acceptable)"),
    "names all by key without quotes": says(lambda _batch, record: f"{record.key} is wrong"),
    "names one by e-mail": lambda bad, _batch: f"email {bad[0].email or bad[0].key}, is not unique",
    "names one by place": lambda bad, batch: f"{place(batch, bad[0])} is not acceptable",
    "names all by place": says(place),
    "a number that is a key": lambda _bad, _batch: "Invalid entry: at most 1001 records of 4 kB",
    "the first one, whoever is bad": lambda _bad, batch: f"Invalid customer entry: '{batch.records[0].key}'",
    "nobody in the batch": lambda _bad, _batch: "Invalid customer entry: 'X-404'",
    "everybody": lambda _bad, batch: ", ".join(f"'{record.key}'" for record in batch.records),
    "the neighbour in quotes": lambda bad, batch: (
        f"'{batch.records[(batch.records.index(bad[0]) + 1) % len(batch.records)].key}' stands beside the bad one"
    ),
    "a bad one, and a number that is a good one's key": lambda bad, _batch: f"{bad[0].key}: 1002 exceeds 1003",
}
HONEST = [telling for telling in TELLINGS if telling.startswith(("names", "opaque", "nothing"))]


@st.composite
def loads(draw, entity):
    """
    Customers with keys that mislead (numbers, one within another), and which of their records are
    bad.
    """
    names = draw(st.permutations([*(f"C-{n}" for n in range(1, 30)), *map(str, range(1000, 1010))]))
    names = names[: draw(st.integers(2, len(names)))]
    groups = []
    for number, name in enumerate(names):
        if entity is Entity.CUSTOMERS:
            groups.append([customer(name)])
        elif entity is Entity.EVENTS:
            groups += [[event(f"O-{number}-{item}", name)] for item in range(draw(st.integers(1, 4)))]
        else:
            groups.append([transaction(f"T-{number}-{item}", name) for item in range(draw(st.integers(1, 4)))])
    keys = [record.key for group in groups for record in group]
    bad = draw(st.sets(st.sampled_from(keys), max_size=8))
    return groups, frozenset(bad)


def is_bad(unit, bad):
    return any(record.key in bad for record in unit)


@pytest.mark.parametrize("telling", TELLINGS)
@pytest.mark.parametrize("entity", Entity)
@settings(max_examples=15)
@given(data=st.data())
def test_every_bad_unit_is_found_by_itself_and_every_good_one_taken_once(entity, telling, data):
    """Whether the prose names the right ones, the wrong ones, or nobody."""
    groups, bad = data.draw(loads(entity))
    api = RefusingApi(bad, TELLINGS[telling])

    reasons = send_all(groups, api, LIMITS)

    wrong = {record.key for group in groups if is_bad(group, bad) for record in group}
    assert set(reasons) == wrong == api.refused_alone
    assert set(reasons.values()) <= {"refused"}
    assert api.accepted == {record.key: 1 for group in groups for record in group if record.key not in wrong}


def refused(number, bad, telling, content=""):
    """The API, and *number* customers of which those at *bad* are refused, in one request."""
    units = [[customer(f"C-{n:04}", content=content)] for n in range(number)]
    api = RefusingApi({units[n][0].key for n in bad}, TELLINGS[telling])
    return api, units, api.post(one_request(units, 1))


@pytest.mark.parametrize("telling", TELLINGS)
@settings(max_examples=20)
@given(number=st.integers(2, 1000), data=st.data())
def test_finding_the_bad_ones_takes_few_requests_and_few_rounds(telling, number, data):
    bad = data.draw(st.sets(st.integers(0, number - 1), min_size=1, max_size=6))
    api, units, answer = refused(number, bad, telling)
    take_apart(units, answer, api)
    # Of each refused request at most two are named for nothing.
    assert api.requests - 1 <= len(bad) * (4 * math.isqrt(number) + 2 * len(bad) + 8)
    assert api.rounds <= 4


@settings(max_examples=50)
@given(number=st.integers(2, 1000), data=st.data())
def test_one_that_is_named_is_found_in_a_round_of_few_requests(number, data):
    at = data.draw(st.integers(0, number - 1))
    api, units, answer = refused(number, {at}, "names one by id")
    assert set(take_apart(units, answer, api)) == {units[at][0].key}
    assert api.rounds == 1
    assert api.requests - 1 <= 8


@settings(max_examples=50)
@given(number=st.integers(60, 1000), data=st.data())
def test_all_that_are_named_at_once_are_found_in_one_round(number, data):
    bad = data.draw(st.sets(st.integers(0, number - 1), min_size=2, max_size=20))
    api, units, answer = refused(number, bad, "names all by key")
    assert set(take_apart(units, answer, api)) == {units[at][0].key for at in bad}
    assert api.rounds == 1
    assert api.requests - 1 <= len(bad) + 2


@settings(max_examples=50)
@given(number=st.integers(2, 300), data=st.data())
def test_the_last_request_of_each_round_is_of_one_unit_so_that_it_can_prove_something_of_the_others(number, data):
    bad = data.draw(st.sets(st.integers(0, number - 1), min_size=1, max_size=6))
    telling = data.draw(st.sampled_from(list(TELLINGS)))
    api, units, answer = refused(number, bad, telling)
    flow = isolate(Refused(units, answer))
    parts = next(flow)
    while parts:
        assert len(parts[-1]) == 1
        answers = [(part, api.post(one_request(part, 0))) for part in parts]
        again = [Refused(part, answer) for part, answer in answers if answer.status != 201 and len(part) > 1]
        try:
            parts = flow.send(again)
        except StopIteration:
            break


@given(number=st.integers(2, 200), data=st.data())
def test_what_was_taken_of_a_refused_part_is_not_sent_again(number, data):
    """A part that is refused comes back without what a read-back has shown of it, or not at all."""
    units = [[customer(f"C-{n}")] for n in range(number)]
    taken, out = set(), {unit[0].key for unit in units}
    flow = isolate(Refused(units, Answer(422)))
    parts = next(flow)
    while parts:
        assert {unit[0].key for part in parts for unit in part} == out - taken
        assert sum(map(len, parts)) == len(out - taken)
        again, out = [], set()
        for part in parts:
            left = data.draw(st.lists(st.sampled_from(part), unique_by=lambda unit: unit[0].key))
            if len(part) > 1:
                again.append(Refused([unit for unit in part if unit in left], Answer(422)))
                out |= {unit[0].key for unit in left}
        taken = set()
        try:
            parts = flow.send(again)
        except StopIteration:
            assert not out
            return


def test_a_refusal_that_comes_once_for_no_reason_quarantines_nobody():
    units = [[customer(f"C-{number}")] for number in range(20)]
    api = RefusingApi()
    assert take_apart(units, Answer(422, text="Invalid customer entry"), api) == {}
    assert api.accepted == {f"C-{n}": 1 for n in range(20)}


@pytest.mark.parametrize("entity", Entity)
def test_too_large_a_batch_is_halved_by_bytes_until_it_fits(entity):
    make = {
        Entity.CUSTOMERS: lambda n: customer(f"K{n}", content="x" * (5_000 if n == 3 else 100)),
        Entity.EVENTS: lambda n: event(f"K{n}", f"C{n}", content="x" * (5_000 if n == 3 else 100)),
        Entity.TRANSACTIONS: lambda n: transaction(f"K{n}", f"C{n}", content="x" * (5_000 if n == 3 else 100)),
    }[entity]
    api = RefusingApi(body_bytes=2_000)
    assert send_all([[make(n)] for n in range(20)], api, LIMITS) == {"K3": "too_large"}
    assert len(api.accepted) == 19


@settings(max_examples=30)
@given(st.lists(st.integers(1, 3_000), min_size=2, max_size=60), st.integers(200, 4_000))
def test_halving_finds_each_record_that_is_too_large_by_itself_and_no_other(sizes, most):
    api = RefusingApi(body_bytes=most)
    units = [[customer(f"K{n}", content="x" * size)] for n, size in enumerate(sizes)]
    too_large = {unit[0].key for unit in units if len(one_request([unit], 1).body) > most}
    batch = one_request(units, 1)
    if len(batch.body) > most:
        assert take_apart(units, api.too_large, api) == dict.fromkeys(too_large, "too_large")
        assert api.accepted == {unit[0].key: 1 for unit in units if unit[0].key not in too_large}


@pytest.mark.parametrize(
    "answer",
    [
        Answer(413),
        Answer(422, text='{"error":"Unprocessable","details":"request entity too large"}'),
        Answer(422, text="payload exceeds the limit"),
    ],
)
def test_an_answer_about_size_says_nothing_about_the_records(answer):
    api = RefusingApi(body_bytes=800, too_large=answer)
    assert send_all([[customer(f"K{n}")] for n in range(20)], api, LIMITS) == {}
    assert len(api.accepted) == 20


@pytest.mark.parametrize(
    "prose", ["Invalid payload", "amount exceeds the balance", "entity is not acceptable", "name is too long"]
)
def test_words_that_sound_like_size_are_about_data(prose):
    api = RefusingApi({"K7"}, lambda _bad, _batch: prose)
    assert send_all([[customer(f"K{n}")] for n in range(20)], api, LIMITS) == {"K7": "refused"}


# The breaker: refusals that are one cause.


def said(unit, telling="names one by id"):
    return Answer(422, text=TELLINGS[telling](unit, one_request([unit], 1)))


@pytest.mark.parametrize("telling", HONEST)
@pytest.mark.parametrize("entity", Entity)
def test_three_that_are_refused_alike_before_anything_is_accepted_are_one_cause(entity, telling):
    make = {Entity.CUSTOMERS: customer, Entity.EVENTS: event, Entity.TRANSACTIONS: transaction}[entity]
    units = [[make(f"K-{n}") if entity is Entity.CUSTOMERS else make(f"K-{n}", f"C-{n}")] for n in range(3)]
    breaker = Breaker(entity)
    for unit in units:
        assert not breaker.is_open
        breaker.refused_alone(unit, said(unit, telling))
    assert breaker.is_open
    assert breaker.accused == [unit[0].place for unit in units]
    assert "looks like the mapping" in str(breaker)


def test_once_something_was_accepted_it_takes_many_because_bad_rows_come_in_clusters():
    breaker = Breaker(Entity.CUSTOMERS)
    breaker.accepted()
    for number in range(20):
        assert not breaker.is_open
        breaker.refused_alone([customer(f"K-{number}")], said([customer(f"K-{number}")]))
    assert breaker.is_open


def test_what_is_accepted_in_between_shows_that_not_all_is_refused():
    breaker = Breaker(Entity.CUSTOMERS)
    for number in range(30):
        breaker.refused_alone([customer(f"K-{number}")], said([customer(f"K-{number}")]))
        if number % 2:
            breaker.accepted()
        assert not breaker.is_open
    assert len(breaker.accused) == 0


def test_refusals_with_different_words_are_no_one_cause():
    breaker = Breaker(Entity.CUSTOMERS)
    for number, words in enumerate(("name is wrong", "email is wrong", "tier is wrong", "document is wrong")):
        breaker.refused_alone([customer(f"K-{number}")], Answer(422, text=words))
    assert not breaker.is_open


@pytest.mark.parametrize("share", [0.001, 0.01, 0.05, 0.2])
@pytest.mark.parametrize("telling", HONEST)
@pytest.mark.slow
def test_scattered_bad_rows_are_all_found(share, telling):
    chance = random.Random(f"{share}{telling}")
    bad = {f"K-{n}" for n in range(2000) if chance.random() < share}
    reasons = send_all([[customer(f"K-{n}")] for n in range(2000)], RefusingApi(bad, TELLINGS[telling]), Limits())
    assert set(reasons) == bad


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("'A1' is wrong", ["A1"]),
        ("'a1' is wrong", ["a1"]),
        ("the customer's 'A1' isn't right", ["A1"]),
        ('{"error":"Unprocessable Entity","details":"Invalid \\"A1\\""}', ["A1"]),
        ("Mail B2@Example.INVALID.", ["B2"]),
        ("id=CUST-77, see the log", ["CUST-77"]),
        ("CUST-7 is wrong", ["CUST-7"]),
        ("A1 is wrong", []),
        ("customers[1] is wrong", ["a1"]),
        ("customers.3.email is wrong", ["CUST-7"]),
        ("x" * 1995 + " CUST-77", []),
        ("'error' 'details'", []),
        ("", []),
    ],
)
def test_a_name_is_a_whole_word_and_spelt_exactly(text, named):
    keys = ["A1", "a1", "B2", "CUST-7", "CUST-77"]
    request = [[customer(key, email=f"{key.lower() if key != 'A1' else 'other'}@example.invalid")] for key in keys]
    assert [unit[0].key for unit in culprits(text, request)] == named


def test_a_customers_transactions_are_one_unit():
    records = [transaction("T1", "A"), transaction("T2", "A"), transaction("T3", "B")]
    assert units_of(one_request([records], 1).records) == [records[:2], records[2:]]
