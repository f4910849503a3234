from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masivo_engine.batching.packers import one_request
from masivo_engine.batching.units import units_of
from masivo_engine.delivery.refusal_text import culprits
from masivo_engine.model.answers import Answer
from masivo_engine.model.errors import Stopped
from masivo_engine.model.limits import Limits
from masivo_engine.model.rows import Entity
from tests.builders import customer, event, transaction
from tests.include.delivery.refusing_api import RefusingApi, isolation, send_all


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
def test_every_bad_unit_is_quarantined_by_itself_and_every_good_one_delivered_once(entity, telling, data):
    groups, bad = data.draw(loads(entity))
    api = RefusingApi(bad, TELLINGS[telling])

    reasons = send_all(groups, api, LIMITS, accepted_before=1)

    wrong = {record.key for group in groups if is_bad(group, bad) for record in group}
    assert set(reasons) == wrong
    assert set(reasons.values()) <= {"refused"}
    assert api.accepted == {record.key: 1 for group in groups for record in group if record.key not in wrong}


@pytest.mark.parametrize("telling", [telling for telling in TELLINGS if telling not in HONEST])
@settings(max_examples=30)
@given(data=st.data())
def test_prose_that_misleads_never_convicts(telling, data):
    groups, bad = data.draw(loads(Entity.CUSTOMERS))
    api = RefusingApi(bad, TELLINGS[telling])
    assert set(send_all(groups, api, LIMITS, accepted_before=1)) <= api.refused_alone | bad


@settings(max_examples=50)
@given(bad=st.sets(st.integers(1, 199), max_size=5), seed=st.integers(0, 9))
def test_isolation_stays_within_its_bound(bad, seed):
    names = [f"C-{number:03}" for number in range(200)]
    random.Random(seed).shuffle(names[1:])
    api = RefusingApi({names[number] for number in bad})
    send_all([[customer(name)] for name in names], api, Limits(records=100))
    # The batches, the probe of the first refusal, and for each bad record its way through a batch,
    # its company and itself.
    assert api.requests <= 2 + 1 + len(bad) * (2 * math.ceil(math.log2(100)) + 2)


@pytest.mark.parametrize(
    "telling", ["names all by id", "names all by key", "names one by e-mail", "names all by place"]
)
def test_a_named_culprit_costs_at_most_two_requests_more(telling):
    api = RefusingApi({"C-07"}, TELLINGS[telling])
    groups = [[customer(f"C-{number:02}")] for number in range(20)]
    assert send_all(groups, api, LIMITS) == {"C-07": "refused"}
    assert api.requests <= 1 + 2


def test_all_culprits_named_at_once_cost_at_most_two_requests_more():
    bad = {f"C-{number:02}" for number in range(3, 12)}
    api = RefusingApi(bad, TELLINGS["names all by key"])
    assert set(send_all([[customer(f"C-{number:02}")] for number in range(20)], api, LIMITS)) == bad
    assert api.requests <= 1 + 2


def test_a_refusal_that_comes_once_for_no_reason_quarantines_nobody():
    groups = [[customer(f"C-{number}")] for number in range(20)]
    api = RefusingApi()
    taking_apart, verdicts = isolation(api, Entity.CUSTOMERS)

    left = taking_apart.take_apart(one_request(groups, 1), Answer(422, text="Invalid customer entry"))

    assert verdicts.reasons == {}
    assert set(api.accepted) | {record.key for unit in left for record in unit} == {f"C-{n}" for n in range(20)}
    assert max(api.accepted.values()) == 1


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


@pytest.mark.parametrize("telling", HONEST)
@pytest.mark.parametrize("entity", Entity)
def test_an_api_that_refuses_every_row_stops_the_run_after_few_requests(entity, telling):
    make = {Entity.CUSTOMERS: customer, Entity.EVENTS: event, Entity.TRANSACTIONS: transaction}[entity]
    groups = [[make(f"K-{n}") if entity is Entity.CUSTOMERS else make(f"K-{n}", f"C-{n}")] for n in range(1000)]
    api = RefusingApi({f"K-{n}" for n in range(1000)}, TELLINGS[telling])
    with pytest.raises(Stopped, match="looks like the mapping"):
        send_all(groups, api, Limits())
    assert api.requests <= 20


def test_an_api_that_begins_to_refuse_every_row_stops_the_run_too():
    api = RefusingApi({f"K-{n}" for n in range(1000, 9000)}, TELLINGS["names one by id"])
    with pytest.raises(Stopped):
        send_all([[customer(f"K-{n}")] for n in range(9000)], api, Limits())
    assert api.requests <= 400


@pytest.mark.parametrize("telling", HONEST)
@pytest.mark.parametrize("share", [0.001, 0.01, 0.05, 0.2])
@pytest.mark.slow
def test_scattered_bad_rows_never_stop_the_run(share, telling):
    chance = random.Random(f"{share}{telling}")
    bad = {f"K-{n}" for n in range(2000) if chance.random() < share}
    api = RefusingApi(bad, TELLINGS[telling])
    reasons = send_all([[customer(f"K-{n}")] for n in range(2000)], api, Limits(records=500))
    assert bad <= set(reasons)


def test_a_cluster_of_bad_rows_does_not_stop_the_run():
    bad = {f"K-{n}" for n in range(300, 315)}
    api = RefusingApi(bad)
    assert set(send_all([[customer(f"K-{n}")] for n in range(1000)], api, Limits(records=200))) == bad


def test_past_the_budget_the_smallest_bad_part_is_parked_and_a_later_run_finds_the_bad_one():
    bad = {"K-700"}
    groups = [[customer(f"K-{n}")] for n in range(1000)]
    api = RefusingApi(bad)

    first = send_all(groups, api, Limits(), per_hour=6)
    assert bad <= set(first)
    assert set(first.values()) == {"refused_in_company"}
    assert len(first) <= 1000 / 2**4

    parked = [group for group in groups if group[0].key in first]
    assert send_all(parked, api, Limits()) == {"K-700": "refused"}
    assert api.accepted == {f"K-{n}": 1 for n in range(1000) if n != 700}


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
    assert [unit[0].key for unit in culprits(text, request).units] == named


def test_a_customers_transactions_are_one_unit():
    records = [transaction("T1", "A"), transaction("T2", "A"), transaction("T3", "B")]
    assert units_of(one_request([records], 1).records) == [records[:2], records[2:]]
