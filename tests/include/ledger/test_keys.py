"""A name of the API finds every row that has it, whatever the row's place."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, delete, insert, select

from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import Ledger
from masivo_engine.ledger.rows import Rows, has_key
from masivo_engine.model.places import place_of
from masivo_engine.model.rows import Entity
from tests import servers


_KEYS = st.text("Aa1 t~'é", max_size=4)
_RAW = st.one_of(_KEYS, st.integers(-20, 20))
_ROWS = st.lists(st.tuples(_RAW, _KEYS), max_size=12, unique_by=lambda row: place_of(row[0]))


@pytest.fixture(params=["sqlite", "postgres", "mariadb"], scope="module")
def ledger(request, tmp_path_factory) -> Iterator[Ledger]:
    if request.param == "sqlite":
        engine = create_engine(f"sqlite:///{tmp_path_factory.mktemp('keys') / 'ledger.sqlite'}")
        yield _opened(engine)
        engine.dispose()
        return
    server = servers.POSTGRES if request.param == "postgres" else servers.MARIADB
    if not servers.answers(server):
        pytest.skip(f"no {request.param} here")
    with servers.fresh_database(server) as url:
        engine = create_engine(url)
        yield _opened(engine)
        engine.dispose()


def _opened(engine) -> Ledger:
    made = Ledger(engine, "an account")
    made.prepare()
    return made


@given(_ROWS, st.booleans(), st.lists(_KEYS, max_size=6))
@settings(max_examples=60, deadline=None)
def test_a_key_finds_the_rows_that_have_it_each_once(ledger, rows, as_read, others):
    rows = [(raw, str(raw) if as_read else key) for raw, key in rows]
    common = {"entity": Entity.CUSTOMERS, "owner": "n", "customer": "", "state": "held"}
    numbers = {"since_run": 1, "run": 1, "slice": 1, "fence": 1}
    with ledger.engine.begin() as connection:
        connection.execute(delete(schema.record))
        for raw, key in rows:
            place = {"home": place_of(raw), "place": place_of(raw), "key": key}
            connection.execute(insert(schema.record).values(common | numbers | place))
    asked = {*others, *(key for _, key in rows[:6])}
    found = Rows(ledger).of_keys(Entity.CUSTOMERS, asked)
    assert {(one.place, one.key) for some in found.values() for one in some} == {
        (place_of(raw), key) for raw, key in rows if key in asked
    }
    assert all(len({one.place for one in some}) == len(some) for some in found.values())
    assert set(Rows(ledger).parents(asked)) == {key for _, key in rows if key in asked}


@pytest.mark.parametrize("ledger", ["sqlite"], indirect=True)
def test_each_way_to_a_key_has_its_index(ledger):
    """Only SQLite plans without statistics."""
    dialect = ledger.engine.dialect.name
    with ledger.engine.begin() as connection:
        for condition, index in zip(has_key(["A", "B"], dialect), ("of_place", "of_key"), strict=True):
            statement = select(schema.record.c.home).where(schema.record.c.entity == "events", condition)
            made = statement.compile(ledger.engine)
            given = tuple(made.params[name] for name in made.positiontup)
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {made}", given).all()
            assert f"masivo_record_{index} (" in str(plan)
