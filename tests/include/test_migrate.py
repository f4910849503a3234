"""
Whole migrations through every station: the account is what was planted, the API holds what the
account says, and once is enough.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import orjson
import pytest
import yaml
from openapi_schema_validator import OAS30Validator
from sqlalchemy import create_engine, select, text

from masivo_engine.ledger import schema
from masivo_engine.mapping.loader import load
from masivo_engine.model.reasons import REASONS
from masivo_engine.model.rows import Entity, State
from masivo_engine.model.runs import Slice, Window
from masivo_engine.records.stream import maker_of
from masivo_engine.reports.account_text import as_json, as_text
from masivo_engine.reports.trail import trail
from masivo_engine.samples.complete_journey import load as complete_journey
from masivo_engine.samples.planted import GOES
from masivo_engine.samples.retailer import build as retailer
from masivo_engine.sandbox.api import contract
from masivo_engine.source.reader import Source
from tests import servers, told
from tests.databases.sample import sample_shop
from tests.whole_migration import UNLIMITED, Died, journey


# A hundred records a request and one request a slice, so that a small database makes many of both;
# no member has more.
SMALL = {**UNLIMITED, "records": 100, "customers": 20, "slice_requests": 1}


class Lines(logging.Handler):
    """Everything that is logged, by whomever."""

    def __init__(self):
        super().__init__(logging.DEBUG)
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())


@dataclass
class Done:
    """A migration of the sample database and a second run of it, with all that they left behind."""

    planted: object
    first: object
    second: object
    journal: list
    held: dict
    failures: list
    bodies: list
    ledger: str
    keys: dict
    people: list
    logged: str
    traced: str


def outcomes(account):
    """Rows by entity and reason code, and `GOES` for those that were sent."""
    found = {}
    for entity in account.entities:
        found[entity.entity] = Counter({GOES: entity.states.get("delivered", 0)})
        for trouble in account.troubles:
            if trouble.entity is entity.entity:
                assert trouble.state == REASONS[trouble.reason].state
                found[entity.entity][trouble.reason] += trouble.rows
    return {entity: {reason: rows for reason, rows in counts.items() if rows} for entity, counts in found.items()}


def states(account):
    return {entity.entity.value: {state: n for state, n in entity.states.items() if n} for entity in account.entities}


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """A sample database of 1,000 members on SQLite, and what was planted in it."""
    return sample_shop(tmp_path_factory.mktemp("sample"), customers=1_000)


@pytest.fixture(scope="module")
def little(tmp_path_factory):
    """A sample database of 70 members; tests take copies of the file."""
    return sample_shop(tmp_path_factory.mktemp("little"), customers=70)


@pytest.fixture
def trip(little, tmp_path):
    """A journey of the little database, with small requests."""
    legacy = shutil.copy(little[0], tmp_path / "legacy.sqlite")
    with journey(f"sqlite:///{legacy}", f"sqlite:///{tmp_path / 'ledger.sqlite'}", extra=SMALL) as made:
        yield made


@pytest.fixture(scope="module")
def done(sample, tmp_path_factory):
    lines = Lines()
    root = logging.getLogger()
    root.addHandler(lines)
    file = tmp_path_factory.mktemp("ledger") / "ledger.sqlite"
    with journey(f"sqlite:///{sample[0]}", f"sqlite:///{file}") as trip:
        first, second = trip.migrate("first"), trip.migrate("second")
        with trip.place.ledger.reading() as connection:
            tables = {table: connection.execute(table.select()).all() for table in schema.metadata.sorted_tables}
        with trip.legacy.connect() as connection:
            people = _people(connection)
        keys = _reasons(trip)
        traced = "\n".join(line for key in list(keys[Entity.CUSTOMERS])[:50] for line in trail(trip.place.ledger, key))
        made = Done(
            sample[1],
            first,
            second,
            trip.posts(),
            {entity: trip.sandbox.accepted(entity) for entity in Entity},
            trip.sandbox.failures(),
            trip.api.bodies,
            repr(tables),
            keys,
            people,
            "\n".join(lines.lines),
            traced,
        )
    root.removeHandler(lines)
    return made


def _people(connection):
    """Names and addresses as the legacy database has them; one name is no text at all."""
    names = connection.execute(text("SELECT CAST(first_name AS BLOB), CAST(last_name AS BLOB) FROM member")).all()
    addresses = connection.execute(text("SELECT contact_value FROM member_contact")).scalars().all()
    whole = [b" ".join(filter(None, name)).decode(errors="ignore") for name in names]
    return [name for name in whole if " " in name], [address for address in addresses if "@" in address]


def _reasons(trip):
    """Reason and column of every row, by entity and key."""
    found = {entity: {} for entity in Entity}
    for one in told.told(trip.place.ledger_engine):
        found[Entity(one.entity)].setdefault(one.key, []).append((one.reason, one.column))
    return found


def test_the_account_is_exactly_what_was_planted(done):
    assert done.first.adds_up
    assert outcomes(done.first) == {entity: dict(expected) for entity, expected in done.planted.outcomes.items()}
    for entity in done.first.entities:
        assert entity.read == entity.total == done.planted.rows(entity.entity)


def test_every_planted_row_is_named_with_its_reason_and_column(done):
    for kind in done.planted.kinds.values():
        for key in kind.keys:
            assert (kind.reason, kind.column) in done.keys[kind.entity][key], kind.name


def test_the_points_are_the_same_on_both_sides(done):
    points = {entity.entity: entity.points for entity in done.first.entities}
    balances = sum(
        Decimal(str(line["amount"])) for one in done.held[Entity.CUSTOMERS] for line in one.bodies[0]["balance"]
    )
    moved = sum(Decimal(str(one.bodies[0]["amount"])) for one in done.held[Entity.TRANSACTIONS])
    assert balances == points[Entity.CUSTOMERS]["delivered"]
    assert moved == points[Entity.TRANSACTIONS]["delivered"]
    assert done.failures == []


def test_the_points_of_every_row_that_was_read_are_in_the_account(done, sample):
    engine = create_engine(f"sqlite:///{sample[0]}")
    with engine.connect() as connection:
        read = connection.execute(text("SELECT sum(points) FROM points_lot")).scalar_one()
    engine.dispose()
    (customers,) = [entity for entity in done.first.entities if entity.entity is Entity.CUSTOMERS]
    # The balance of a row that the driver does not hand out cannot be known.
    unknown = [key for key, found in done.keys[Entity.CUSTOMERS].items() if found == [("unreadable_row", "name")]]
    assert len(unknown) == 1
    assert 0 <= read - sum(customers.points.values()) < 2_000


def test_the_requests_are_the_fewest_that_can_carry_the_records(done):
    for entity in done.first.entities:
        assert entity.requests == entity.least_requests
        assert entity.sent == entity.states["delivered"]


def test_a_second_run_finds_everything_unchanged_and_sends_nothing(done):
    assert done.second.adds_up
    assert len(done.journal) == sum(entity.requests for entity in done.first.entities)
    for entity, again in zip(done.first.entities, done.second.entities, strict=True):
        assert (again.requests, again.states.get("delivered", 0)) == (0, 0)
        assert again.states["unchanged"] == entity.states["delivered"]
    assert "nothing was sent: no request was made" in as_text(done.second)


def test_trouble_that_was_there_before_is_no_news(done):
    assert done.first.verdict(0).endswith("or trigger with a higher tolerance")
    assert done.first.verdict(done.first.trouble) == ""
    assert sum(trouble.rows for trouble in done.second.troubles if trouble.reason == "missing_key") == 3
    assert done.second.trouble == 0


def test_the_account_as_json_says_the_same(done):
    said = as_json(done.first)
    assert said["adds_up"] is True
    for entity in done.first.entities:
        column = said["entities"][entity.entity.value]
        assert column["read"] == sum(column[state.value] for state in State)
    assert orjson.loads(orjson.dumps(said)) == said


@pytest.mark.parametrize("entity", list(Entity))
def test_every_request_body_keeps_the_published_contract_by_somebody_elses_judgement(done, entity):
    document = yaml.safe_load((Path(contract.__file__).parents[1] / "openapi" / f"{entity}.yaml").read_text())
    operation = document["paths"]["/customers/migrate" + ("" if entity is Entity.CUSTOMERS else f"/{entity}")]["post"]
    body = operation["requestBody"]["content"]["application/json"]["schema"]
    validator = OAS30Validator(_right_way_round(_inlined(body, document["components"]["schemas"])))
    bodies = [orjson.loads(body) for sent, body in done.bodies if sent is entity]

    assert bodies
    for sent in bodies:
        assert next(validator.iter_errors(sent), None) is None


def _inlined(part, schemas):
    if isinstance(part, dict) and "$ref" in part:
        return _inlined(schemas[part["$ref"].rpartition("/")[2]], schemas)
    if isinstance(part, dict):
        return {name: _inlined(value, schemas) for name, value in part.items()}
    return [_inlined(value, schemas) for value in part] if isinstance(part, list) else part


def _right_way_round(part):
    """
    The document says minimum and maximum of lists, which mean nothing there
    (docs/api-facts.md#f-arrays).
    """
    if not isinstance(part, dict):
        return part
    turned = {name: _right_way_round(value) for name, value in part.items()}
    if turned.get("type") == "array":
        for wrong, right in (("minimum", "minItems"), ("maximum", "maxItems")):
            if wrong in turned:
                turned[right] = turned.pop(wrong)
    return turned


@pytest.mark.parametrize("where", ["ledger", "logged", "traced", "account"])
def test_no_name_and_no_address_is_anywhere_but_in_the_requests(done, where):
    names, addresses = done.people
    said = as_text(done.first) + repr(as_json(done.first)) if where == "account" else getattr(done, where)
    sent = b"".join(body for _, body in done.bodies).decode()

    assert len(said) > 1_000
    assert sum(name in sent for name in names) > 500
    assert [name for name in names if name in said] == []
    folded = said.casefold()
    assert [address for address in addresses if address.strip().casefold() in folded] == []


@pytest.mark.slow
def test_the_default_sample_is_accounted_for_row_by_row(tmp_path):
    file, planted = sample_shop(tmp_path)
    with journey(f"sqlite:///{file}", f"sqlite:///{tmp_path / 'ledger.sqlite'}") as trip:
        made = trip.migrate("default")

    assert made.adds_up
    assert outcomes(made) == {entity: dict(expected) for entity, expected in planted.outcomes.items()}
    assert "too_many_transactions" in outcomes(made)[Entity.TRANSACTIONS]


def test_small_slices_and_pages_change_nothing_about_the_account(trip, little):
    made = trip.migrate("small")
    assert made.adds_up
    assert outcomes(made) == {entity: dict(expected) for entity, expected in little[1].outcomes.items()}
    assert min(entity.slices for entity in made.entities) > 1
    assert trip.sandbox.failures() == []


def change(trip, *statements):
    with trip.legacy.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def delivered(trip, entity):
    """Keys that the API accepted and how often, by its own journal."""
    return Counter(key for line in trip.posts() if line.path.endswith(_path(entity)) for key, _ in line.accepted)


def _path(entity):
    return "migrate" if entity is Entity.CUSTOMERS else str(entity)


def clean_member(trip, planted):
    """A member with receipts and entries who has no fault of any kind."""
    trip.migrate("find", entities=[Entity.CUSTOMERS])
    spoilt = {key for kind in planted.kinds.values() for key in kind.keys}
    with trip.legacy.connect() as connection:
        rows = connection.execute(
            text(
                "SELECT member_no, receipt_no, (SELECT max(entry_no) FROM points_ledger l WHERE l.member_no ="
                " r.member_no) FROM receipt r WHERE receipt_no IS NOT NULL AND member_no IS NOT NULL ORDER BY"
                " receipt_no"
            )
        ).all()
    kept = delivered(trip, Entity.CUSTOMERS)
    return next(
        (str(member), str(receipt), str(entry))
        for member, receipt, entry in rows
        if str(member) in kept and entry is not None and not {str(member), str(receipt), str(entry)} & spoilt
    )


@pytest.mark.parametrize(
    ("entity", "statement"),
    [
        (Entity.EVENTS, "UPDATE receipt SET total_cents = total_cents + 1 WHERE receipt_no = {1}"),
        (Entity.TRANSACTIONS, "UPDATE points_ledger SET cost_cents = cost_cents + 1 WHERE entry_no = {2}"),
    ],
)
def test_a_row_that_changed_after_it_was_delivered_is_held_and_not_sent_again(trip, little, entity, statement):
    """
    Sent again, they could count twice; customers are another matter (their policy is ``resend``).
    """
    keys = clean_member(trip, little[1])
    trip.migrate("first")
    posts = len(trip.posts())
    change(trip, statement.format(*keys))
    again = trip.migrate("second")

    assert again.adds_up
    assert [(t.entity, t.rows) for t in again.troubles if t.reason == "changed_after_delivery"] == [(entity, 1)]
    assert len(trip.posts()) == posts
    assert any(" held changed_after_delivery" in line for line in trail(trip.place.ledger, keys[0]))


def test_an_event_that_moved_to_another_customer_is_not_called_unchanged(trip, little):
    """The customer stands outside the event's own JSON, but it is what the event is about."""
    _, receipt, _ = clean_member(trip, little[1])
    trip.migrate("first")
    other = next(reversed(delivered(trip, Entity.CUSTOMERS)))
    change(trip, f"UPDATE receipt SET member_no = {other} WHERE receipt_no = {receipt}")
    again = trip.migrate("second")

    assert again.adds_up
    assert [t.rows for t in again.troubles if t.reason == "changed_after_delivery"] == [1]


def test_a_repaired_customer_goes_and_frees_what_waited_for_it(trip, little):
    first = trip.migrate("first")
    member, *_ = little[1].kinds["missing_name"].keys
    waiting = [line for line in trail(trip.place.ledger, member) if " held customer_quarantined" in line]
    change(trip, f"UPDATE member SET first_name = 'Ana', last_name = 'Paz' WHERE member_no = {member}")
    again = trip.migrate("second")

    assert waiting
    assert again.adds_up
    now = [line for line in trail(trip.place.ledger, member) if line.startswith("second")]
    assert len(now) == len(waiting) + 1
    assert all(" delivered" in line for line in now)
    was = [line for line in trail(trip.place.ledger, member) if line.startswith("first")]
    assert all((" held " in line or " quarantined " in line) for line in was)
    assert len(was) == len(now)
    assert trip.account("first").adds_up
    assert trip.account("first").entities == first.entities
    assert first.adds_up
    assert trip.sandbox.failures() == []


def test_a_customer_who_was_deleted_is_no_longer_read_and_nothing_happens(trip, little):
    member, receipt, _ = clean_member(trip, little[1])
    trip.migrate("first")
    posts = len(trip.posts())
    change(
        trip, *(f"DELETE FROM {table} WHERE member_no = {member}" for table in ("member", "receipt", "points_ledger"))
    )
    again = trip.migrate("second")

    assert again.adds_up
    assert len(trip.posts()) == posts
    assert delivered(trip, Entity.EVENTS)[receipt] == 1


def test_transactions_that_come_after_a_customers_set_are_held_even_if_the_set_is_gone(trip, little):
    """
    The API takes a customer's transactions once, so what looks like a whole new set must not go.
    """
    member, _, entry = clean_member(trip, little[1])
    trip.migrate("first")
    change(trip, f"UPDATE points_ledger SET entry_no = entry_no + 90000000 WHERE member_no = {member}")
    again = trip.migrate("second")

    assert again.adds_up
    held = [t for t in again.troubles if t.reason == "transactions_already_migrated"]
    assert [t.state for t in held] == ["held"]
    assert delivered(trip, Entity.TRANSACTIONS)[f"legacy:{entry}"] <= 1
    assert trip.sandbox.failures() == []


def test_an_address_belongs_to_whoever_had_it_first_over_slices_and_runs(trip, little):
    """
    The one who lacked an address is given one that somebody has since an earlier run, in capitals.
    """
    lacking, *_ = little[1].kinds["missing_name"].keys
    trip.migrate("first")
    first = min(delivered(trip, Entity.CUSTOMERS), key=int)
    change(
        trip,
        f"UPDATE member SET first_name = 'Ana', last_name = 'Paz' WHERE member_no = {lacking}",
        "UPDATE member_contact SET contact_value = (SELECT upper(contact_value) FROM member_contact WHERE member_no ="
        f" {first} AND kind = 'E' AND is_primary = 1) WHERE member_no = {lacking} AND kind = 'E' AND is_primary = 1",
    )
    posts = len(trip.posts())
    again = trip.migrate("second")

    assert again.adds_up
    assert sum(t.new for t in again.troubles if t.reason == "email_shared") == 1
    assert "quarantined email_shared (email)" in "\n".join(trail(trip.place.ledger, lacking))
    assert len(trip.posts()) == posts


def test_the_ledger_keeps_of_an_address_only_what_cannot_be_read(trip):
    trip.migrate("first", entities=[Entity.CUSTOMERS])
    addresses = [customer.bodies[0]["email"] for customer in trip.sandbox.accepted("customers")]
    with trip.place.ledger.reading() as connection:
        claims = {bytes(digest) for digest in connection.execute(select(schema.record.c.has_email)).scalars() if digest}
    assert claims >= {trip.place.ledger.digest(address) for address in addresses}
    assert not claims & {hashlib.blake2b(address.encode(), digest_size=16).digest() for address in addresses}
    assert not any(address.encode() in digest for address in addresses for digest in claims)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", [1, 4, 9])
@pytest.mark.slow
def test_a_task_that_dies_between_two_requests_loses_nothing_and_repeats_nothing(trip, little, when, number):
    setattr(trip.api, f"dies_{when}", lambda request: request == number)
    with pytest.raises(Died):
        trip.migrate("run")
    again = trip.migrate("run")

    assert again.adds_up
    for entity in Entity:
        assert set(delivered(trip, entity).values()) == {1}
    assert {body for body, times in Counter(body for _, body in trip.api.bodies).items() if times > 1} == set()
    expected = {entity: dict(reasons) for entity, reasons in little[1].outcomes.items()}
    in_doubt = sum(entity.states.get("in_doubt", 0) for entity in again.entities)
    if not in_doubt:
        found = outcomes(again)
        for reasons in found.values():
            reasons.pop("sent_again", 0)  # it might have arrived, and had not
        assert found == expected
    assert trip.sandbox.failures() == []


def test_a_row_that_is_deleted_between_the_tries_of_a_slice_still_belongs_to_the_run(trip):
    trip.api.dies_before = lambda request: request == 2
    with pytest.raises(Died):
        trip.migrate("run", entities=[Entity.CUSTOMERS])
    gone = trip.sandbox.accepted("customers")[0].customer
    with trip.legacy.begin() as legacy:
        legacy.execute(text("DELETE FROM member WHERE member_no = :gone"), {"gone": int(gone)})

    again = trip.migrate("run", entities=[Entity.CUSTOMERS])

    assert again.adds_up
    assert set(delivered(trip, Entity.CUSTOMERS).values()) == {1}


MEMBERS = 60


@pytest.fixture(scope="module")
def made_of(tmp_path_factory, postgres_server, mariadb_server):
    """Build a data set on each dialect and make its records: bodies by entity and key."""

    def make(build, mapping):
        found = {}
        with servers.fresh_database(postgres_server) as postgres, servers.fresh_database(mariadb_server) as mariadb:
            sqlite = f"sqlite:///{tmp_path_factory.mktemp('dialects') / 'legacy.sqlite'}"
            for dialect, url in {"sqlite": sqlite, "postgresql": postgres, "mariadb": mariadb}.items():
                engine = create_engine(url)
                built = build(engine)
                found[dialect] = _bodies(engine, load(mapping)), built
                engine.dispose()
        return found

    return make


def _bodies(engine, mapping):
    bodies = {}
    for entity in Entity:
        legacy = Source(engine, mapping, entity)
        maker = maker_of(legacy)
        for page in legacy.pages(Slice.everything(entity), Window()):
            for made in map(maker.make, page):
                body = getattr(made, "body", None)
                if body is not None:
                    bodies.setdefault((entity, made.key, made.customer), []).append(body)
    return {place: sorted(alike) for place, alike in bodies.items()}


def test_every_dialect_gives_the_same_bodies_byte_for_byte(made_of):
    found = made_of(lambda engine: retailer.build(engine, customers=MEMBERS), "sample")
    everywhere = set.intersection(*(set(bodies) for bodies, _ in found.values()))
    only_here = {
        (kind.entity, key) for _, planted in found.values() for kind in planted.kinds.values() for key in kind.keys
    }
    assert len(everywhere) > 500
    for bodies, _ in found.values():
        assert {place: bodies[place] for place in everywhere} == {
            place: found["sqlite"][0][place] for place in everywhere
        }
        # What only one dialect can hold was planted there only.
        assert {place[:2] for place in set(bodies) - everywhere} <= only_here


@pytest.mark.journey
@pytest.mark.slow
def test_every_dialect_gives_the_same_bodies_of_real_purchases(made_of):
    found = made_of(lambda engine: complete_journey.load(engine, households=MEMBERS), "complete_journey")
    (sqlite, _), *others = found.values()
    assert len(sqlite) > 3_000
    for bodies, _ in others:
        assert bodies == sqlite
