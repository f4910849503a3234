"""
The invented retailer: what is planted is there, counted by SQL that knows nothing of how it was
planted.
"""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, not_, select, text

from masivo_engine.model.errors import LegacyError
from masivo_engine.model.reasons import REASONS
from masivo_engine.model.rows import Entity
from masivo_engine.samples.planted import GOES
from masivo_engine.samples.retailer.build import build
from masivo_engine.samples.retailer.dirt import KINDS, LEAST_CUSTOMERS
from masivo_engine.samples.retailer.people import person
from masivo_engine.samples.retailer.tables import MEMBER, RECEIPT, RECEIPT_LINE, RETAILER


CUSTOMERS = 300

PRIMARY = "member_contact c WHERE c.kind = 'E' AND c.is_primary = 1"
GIVEN = f"SELECT c.member_no, LOWER(TRIM(c.contact_value)) AS email, c.contact_value FROM {PRIMARY}"
NOBODY = "member_no IS NOT NULL AND member_no NOT IN (SELECT member_no FROM member)"
END = "BETWEEN '9000-01-01' AND '9999-12-31 23:59:59.999'"
SIGNED = "CASE WHEN kind IN ('O', 'E') THEN points ELSE -points END"
FIT = "entry_no IS NOT NULL AND points IS NOT NULL AND kind IN ('O', 'E', 'R', 'X', 'V') AND purse IN ('P', 'S')"


def keys_twice(table, key):
    rows = f"SELECT DISTINCT * FROM {table} WHERE {key} IS NOT NULL"
    return (
        f"SELECT COALESCE(SUM(n), 0) FROM (SELECT COUNT(*) AS n FROM ({rows}) d GROUP BY {key} HAVING COUNT(*) > 1) k"
    )


def copies(table):
    return f"SELECT (SELECT COUNT(*) FROM {table}) - (SELECT COUNT(*) FROM (SELECT DISTINCT * FROM {table}) d)"


COUNTS = {
    "missing_email": f"SELECT COUNT(*) FROM member WHERE member_no NOT IN (SELECT c.member_no FROM {PRIMARY})",
    "malformed_email": f"""SELECT COUNT(*) FROM ({GIVEN}) g
        WHERE email NOT LIKE '%_@_%._%' OR email LIKE '% %' OR email LIKE '%@%@%'""",
    "shared_email": f"""SELECT COUNT(*) FROM ({GIVEN}) g WHERE email LIKE '%_@_%._%' AND email NOT LIKE '% %'
        AND email NOT LIKE '%@%@%' AND EXISTS
        (SELECT 1 FROM ({GIVEN}) e WHERE e.email = g.email AND e.member_no < g.member_no)""",
    "missing_name": "SELECT COUNT(*) FROM member WHERE COALESCE(first_name, '') = '' AND COALESCE(last_name, '') = ''",
    "unknown_gender": "SELECT COUNT(*) FROM member WHERE gender_code NOT IN (0, 1, 2)",
    "unknown_status": "SELECT COUNT(*) FROM member WHERE status NOT IN ('A', 'I')",
    "unknown_tier": "SELECT COUNT(*) FROM member WHERE tier_code NOT IN (SELECT tier_code FROM tier)",
    "zero_birth_date": "SELECT COUNT(*) FROM member WHERE birth_date = '0000-00-00'",
    "odd_birth_date": "SELECT COUNT(*) FROM member WHERE birth_date LIKE '%-02-31'",
    "joined_in_9999": f"SELECT COUNT(*) FROM member WHERE joined_at {END}",
    "broken_json": "SELECT COUNT(*) FROM member WHERE extra_json NOT LIKE '%}'",
    "negative_balance": """SELECT COUNT(*) FROM
        (SELECT member_no FROM points_lot GROUP BY member_no, purse HAVING SUM(points) < 0) b""",
    "nul_in_name": "SELECT COUNT(*) FROM member WHERE INSTR(first_name, CHAR(0)) > 0",
    "name_not_utf8": "SELECT COUNT(*) FROM member WHERE HEX(first_name) = '4E75F161'",
    "joined_at_infinity": "SELECT COUNT(*) FROM member WHERE joined_at = 'infinity'",
    "joined_on_zero_date": "SELECT COUNT(*) FROM member WHERE joined_at < '1000-01-01'",
    "email_in_capitals": f"SELECT COUNT(*) FROM ({GIVEN}) g WHERE contact_value LIKE ' %' AND contact_value LIKE '% '",
    "order_without_lines": """SELECT COUNT(*) FROM receipt
        WHERE receipt_no IS NOT NULL AND receipt_no NOT IN (SELECT receipt_no FROM receipt_line)""",
    "order_of_nobody": f"SELECT COUNT(*) FROM receipt WHERE {NOBODY}",
    "order_without_key": "SELECT COUNT(*) FROM receipt WHERE receipt_no IS NULL",
    "order_without_member": "SELECT COUNT(*) FROM receipt WHERE member_no IS NULL",
    "order_key_twice": keys_twice("receipt", "receipt_no"),
    "order_copied": copies("receipt"),
    "unknown_payment": "SELECT COUNT(*) FROM payment WHERE method_code NOT IN ('C', 'D', 'E', 'T', '9')",
    "line_without_value": "SELECT COUNT(DISTINCT receipt_no) FROM receipt_line WHERE gross_cents IS NULL",
    "line_without_amount": "SELECT COUNT(DISTINCT receipt_no) FROM receipt_line WHERE quantity IS NULL",
    "line_not_a_number": "SELECT COUNT(DISTINCT receipt_no) FROM receipt_line WHERE quantity > 1e300",
    "sold_in_9999": f"SELECT COUNT(*) FROM receipt WHERE sold_at {END}",
    "sold_in_20000": "SELECT COUNT(*) FROM receipt WHERE sold_at > '9999-12-31 23:59:59'",
    "sold_on_zero_date": "SELECT COUNT(*) FROM receipt WHERE sold_at < '1000-01-01'",
    "sold_in_clock_gap": """SELECT COUNT(*) FROM receipt
        WHERE sold_at BETWEEN '2022-04-03 02:30:00' AND '2022-04-03 02:30:00.5'""",
    "sold_in_clock_fold": """SELECT COUNT(*) FROM receipt
        WHERE sold_at BETWEEN '2022-10-30 01:30:00' AND '2022-10-30 01:30:00.5'""",
    "unknown_kind": "SELECT COUNT(*) FROM points_ledger WHERE kind NOT IN ('O', 'E', 'R', 'X', 'V')",
    "unknown_purse": "SELECT COUNT(*) FROM points_ledger WHERE purse NOT IN ('P', 'S')",
    "entry_without_points": "SELECT COUNT(*) FROM points_ledger WHERE points IS NULL",
    "booked_in_9999": f"SELECT COUNT(*) FROM points_ledger WHERE booked_at {END}",
    "entry_without_key": "SELECT COUNT(*) FROM points_ledger WHERE entry_no IS NULL",
    "entry_key_twice": keys_twice("points_ledger", "entry_no"),
    "entry_copied": copies("points_ledger"),
    "entry_of_nobody": f"SELECT COUNT(*) FROM points_ledger WHERE {NOBODY}",
    "entry_without_member": "SELECT COUNT(*) FROM points_ledger WHERE member_no IS NULL",
    "points_do_not_sum": f"""SELECT COALESCE(SUM(n), 0) FROM (
            SELECT member_no, COUNT(*) AS n, SUM({SIGNED}) AS total FROM (SELECT DISTINCT * FROM points_ledger) d
            WHERE member_no IN (SELECT member_no FROM member)
            GROUP BY member_no
            HAVING COUNT(*) = COUNT(DISTINCT entry_no) AND COUNT(*) = SUM(CASE WHEN {FIT} THEN 1 ELSE 0 END)
        ) e
        WHERE total <> (SELECT COALESCE(SUM(l.points), 0) FROM points_lot l WHERE l.member_no = e.member_no)""",
    "too_many_transactions": """SELECT COALESCE(SUM(n), 0) FROM
        (SELECT COUNT(*) AS n FROM points_ledger GROUP BY member_no HAVING COUNT(*) > 1000) m""",
}


def dump(engine, *, without_members=(), without_receipts=()):
    """All rows of all tables, as Python reads them, in an order that no database decides."""
    left_out = {
        MEMBER: MEMBER.c.member_no.in_(without_members),
        RECEIPT: RECEIPT.c.receipt_no.in_(without_receipts),
        RECEIPT_LINE: RECEIPT_LINE.c.receipt_no.in_(without_receipts),
    }
    with engine.connect() as connection:
        return {
            name: sorted(map(repr, connection.execute(rows_but(table, left_out.get(table)))))
            for name, table in RETAILER.tables.items()
        }


def rows_but(table, left_out):
    # A key that is NULL is in no list, but SQL does not say so.
    return select(table) if left_out is None else select(table).where(not_(left_out) | left_out.is_(None))


def test_every_planted_kind_is_found_by_sql_as_often_as_it_was_planted(engine):
    planted = build(engine, customers=CUSTOMERS)

    with engine.connect() as connection:
        found = {name: connection.execute(text(COUNTS[name])).scalar_one() for name in planted.kinds}

    assert found == {name: kind.rows for name, kind in planted.kinds.items()}
    assert all(found.values())


def test_every_kind_is_counted_here_and_has_a_known_reason():
    assert {kind.name for kind in KINDS} == set(COUNTS)
    assert {kind.reason for kind in KINDS} <= {GOES, *REASONS}


def test_the_outcomes_account_for_every_row_of_the_three_entities(engine):
    planted = build(engine, customers=CUSTOMERS)

    tables = {Entity.CUSTOMERS: "member", Entity.EVENTS: "receipt", Entity.TRANSACTIONS: "points_ledger"}
    with engine.connect() as connection:
        rows = {
            entity: connection.execute(text(f"SELECT COUNT(*) FROM {name}")).scalar_one()
            for entity, name in tables.items()
        }

    assert {entity: planted.rows(entity) for entity in Entity} == rows


def test_children_of_quarantined_members_are_expected_to_be_held(sqlite):
    planted = build(sqlite, customers=CUSTOMERS)

    quarantined = [
        key for kind in planted.kinds.values() if kind.entity is Entity.CUSTOMERS and kind.reason for key in kind.keys
    ]
    with sqlite.connect() as connection:
        owners = f"WHERE member_no IN ({', '.join(quarantined)})"
        events = connection.execute(text(f"SELECT COUNT(*) FROM receipt {owners}")).scalar_one()
        entries = connection.execute(text(f"SELECT COUNT(*) FROM points_ledger {owners}")).scalar_one()

    assert (
        len(set(quarantined))
        == len(quarantined)
        == sum(count for reason, count in planted.outcomes[Entity.CUSTOMERS].items() if reason != GOES)
    )
    assert planted.outcomes[Entity.EVENTS]["customer_quarantined"] == events
    assert planted.outcomes[Entity.TRANSACTIONS]["customer_quarantined"] == entries


def test_siblings_of_an_entry_that_cannot_go_are_expected_to_be_held(sqlite):
    planted = build(sqlite, customers=CUSTOMERS)

    own_fault = (
        "unknown_kind",
        "unknown_purse",
        "entry_without_points",
        "booked_in_9999",
        "entry_without_key",
        "entry_key_twice",
    )
    with sqlite.connect() as connection:
        touched = connection.execute(
            text(f"""SELECT COUNT(*) FROM points_ledger WHERE member_no IN (
            SELECT member_no FROM points_ledger
            WHERE NOT ({FIT}) OR booked_at > '9000-01-01' OR entry_no IN
                (SELECT entry_no FROM (SELECT DISTINCT * FROM points_ledger) d
                GROUP BY entry_no HAVING COUNT(*) > 1))""")
        ).scalar_one()

    spoilt = sum(planted.kinds[name].rows for name in own_fault)
    assert planted.outcomes[Entity.TRANSACTIONS]["sibling_not_sendable"] == touched - spoilt


def test_from_2000_members_on_one_has_too_many_transactions(sqlite):
    planted = build(sqlite, customers=2_000)

    with sqlite.connect() as connection:
        found = connection.execute(text(COUNTS["too_many_transactions"])).scalar_one()

    assert found == planted.kinds["too_many_transactions"].rows > 1_000


def test_the_same_seed_gives_the_same_database_and_another_seed_another(sqlite):
    first = build(sqlite, customers=CUSTOMERS, seed=3)
    content = dump(sqlite, **unreadable(first))

    again = build(sqlite, customers=CUSTOMERS, seed=3)
    assert again == first
    assert dump(sqlite, **unreadable(again)) == content

    other = build(sqlite, customers=CUSTOMERS, seed=4)
    assert dump(sqlite, **unreadable(other)) != content


@pytest.mark.parametrize("other", ["postgres_url", "mariadb_url"])
def test_other_dialects_hold_the_same_rows_but_for_what_only_they_can_hold(sqlite, other, request):
    engine = create_engine(request.getfixturevalue(other))
    here, there = build(sqlite, customers=CUSTOMERS), build(engine, customers=CUSTOMERS)
    particular = {
        name: unreadable(here)[name] + unreadable(there)[name] for name in ("without_members", "without_receipts")
    }

    try:
        assert dump(engine, **particular) == dump(sqlite, **particular)
    finally:
        engine.dispose()


def unreadable(planted):
    """The rows of the kinds that not every dialect has, as arguments of `dump`."""
    names = {kind.name for kind in KINDS if len(kind.dialects) < 4}
    kinds = [kind for kind in planted.kinds.values() if kind.name in names]
    return {
        "without_members": [int(key) for kind in kinds if kind.entity is Entity.CUSTOMERS for key in kind.keys],
        "without_receipts": [int(key) for kind in kinds if kind.entity is Entity.EVENTS for key in kind.keys],
    }


def test_tables_that_are_not_ours_are_never_replaced(sqlite):
    with sqlite.begin() as connection:
        connection.execute(text("CREATE TABLE member (precious TEXT)"))

    with pytest.raises(LegacyError, match="'member' that no sample made"):
        build(sqlite, customers=CUSTOMERS)


def test_too_few_customers_are_refused_before_anything_is_made(sqlite):
    with pytest.raises(ValueError, match=f"ask for {LEAST_CUSTOMERS} or more"):
        build(sqlite, customers=LEAST_CUSTOMERS - 1)


def test_the_least_size_holds_every_kind(sqlite):
    planted = build(sqlite, customers=LEAST_CUSTOMERS)

    here = {kind.name for kind in KINDS if "sqlite" in kind.dialects and not kind.least_customers}
    assert set(planted.kinds) == here


def test_people_are_told_every_kind_and_every_outcome(sqlite):
    planted = build(sqlite, customers=CUSTOMERS)

    told = "\n".join(planted.describe())

    assert all(kind.meaning in told for kind in planted.kinds.values())
    assert all(reason in told for outcomes in planted.outcomes.values() for reason in outcomes)


@settings(max_examples=60)
@given(index=st.integers(0, 10**6), seed=st.integers(0, 99), busy=st.booleans())
def test_the_entries_of_a_member_add_up_to_its_lots(index, seed, busy):
    made = person(index, seed, busy=busy)

    entries, lots = Counter(), Counter()
    for row in made.entries:
        entries[row["purse"]] += row["points"] if row["kind"] in "OE" else -row["points"]
    for row in made.lots:
        lots[row["purse"]] += row["points"]
        assert row["points"] > 0

    assert +entries == lots


@settings(max_examples=30)
@given(index=st.integers(0, 10**6), seed=st.integers(0, 99))
def test_a_receipt_comes_to_the_sum_of_its_lines_and_is_paid(index, seed):
    made = person(index, seed)

    for receipt in made.receipts:
        lines = made.lines_of(receipt)
        assert receipt["total_cents"] == sum(line["gross_cents"] for line in lines)
        assert receipt["discount_cents"] == sum(line["discount_cents"] for line in lines)
        paid = sum(row["paid_cents"] for row in made.payments if row["receipt_no"] == receipt["receipt_no"])
        assert paid == receipt["total_cents"] - receipt["discount_cents"]
