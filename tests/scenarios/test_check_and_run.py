"""
The check and the run have one judge: what the check calls sound goes, and what it calls wrong does
not go, for the same reason and in as many rows.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import String, create_engine, delete, update

from masivo_engine.model.reasons import REASONS
from masivo_engine.planning.guards import Guard
from tests import servers
from tests.databases.sound import SoundShop
from tests.whole_migration import journey


MEMBERS = st.integers(1, 30)
#: Spellings of a key that some databases take for another one, and some do not.
SPELLINGS = st.sampled_from(
    ["m{:04}", "M{:04} ", " M{:04}", "M{:04}\u200b", "\ufeffM{:04}", "Ḿ{:04}", "M{:05}", "guest", "0"]
)


def _owner(shop: SoundShop, table: Any, member: int, spelling: str) -> None:
    with shop.engine.begin() as on:
        on.execute(update(table).where(table.c.member == shop.key(member)).values(member=spelling.format(member)))


def _set(shop: SoundShop, table: Any, key: Any, /, **values: Any) -> None:
    with shop.engine.begin() as on:
        on.execute(update(table).where(table.c.no == key).values(**values))


def _remove(shop: SoundShop, table: Any, column: str, value: Any) -> None:
    with shop.engine.begin() as on:
        on.execute(delete(table).where(table.c[column] == value))


NUMBERS = st.builds(lambda member, turn: member * 1000 + turn, MEMBERS, st.integers(0, 9))
ODDITIES = st.one_of(
    st.builds(lambda m, s: lambda shop: _owner(shop, shop.entry, m, s), MEMBERS, SPELLINGS),
    st.builds(lambda m, s: lambda shop: _owner(shop, shop.sale, m, s), MEMBERS, SPELLINGS),
    st.builds(lambda m, s: lambda shop: _owner(shop, shop.lot, m, s), MEMBERS, SPELLINGS),
    st.builds(lambda m, s: lambda shop: _set(shop, shop.member, shop.key(m), no=s.format(m)), MEMBERS, SPELLINGS),
    st.builds(lambda m: lambda shop: _remove(shop, shop.member, "no", shop.key(m)), MEMBERS),
    st.builds(lambda m: lambda shop: _remove(shop, shop.lot, "member", shop.key(m)), MEMBERS),
    st.builds(lambda n: lambda shop: _remove(shop, shop.line, "sale", n), NUMBERS),
    st.builds(
        lambda m, e: lambda shop: _set(shop, shop.member, shop.key(m), email=e),
        MEMBERS,
        st.sampled_from(["m1@example.com", " M1@EXAMPLE.com", "nobody", "a\u200b@example.com", None]),
    ),
    st.builds(
        lambda n, p: lambda shop: _set(shop, shop.entry, n, points=p),
        NUMBERS,
        st.sampled_from([None, 0, -3, 10.01, 9.99]),
    ),
    st.builds(lambda n, o: lambda shop: _set(shop, shop.entry, n, no=o), NUMBERS, NUMBERS),
    st.builds(lambda n, o: lambda shop: _set(shop, shop.sale, n, no=o), NUMBERS, NUMBERS),
    st.builds(lambda n: lambda shop: _set(shop, shop.sale, n, method="TARJETA"), NUMBERS),
    st.builds(lambda n: lambda shop: _set(shop, shop.sale, n, no=None), NUMBERS),
    st.builds(lambda n: lambda shop: _set(shop, shop.entry, n, member=None), NUMBERS),
)


def _said(shop: SoundShop) -> Counter[tuple[str, str]] | None:
    """Return the rows by entity and reason that the check names, None where nothing is read."""
    found = shop.check()
    if any(one.code in ("cannot_be_read", "written_two_ways") for one in found):
        return None
    said: Counter[tuple[str, str]] = Counter()
    for one in found:
        if one.code in REASONS:
            said[one.where, one.code] += one.rows
        elif one.code == "guest_customer" and (one.where, "customer_missing") not in {(x.where, x.code) for x in found}:
            said[one.where, "customer_missing"] += one.rows
    return said


def _become(folder: Path, url: str) -> Counter[tuple[str, str]]:
    """Return the rows by entity and reason that a first load leaves."""
    ledger = f"sqlite:///{folder / 'ledger.sqlite'}"
    with journey(url, ledger, mapping=str(folder / "mapping")) as trip:
        made = trip.migrate("first", overrides=[Guard.CUSTOMERS_MISSING])
        assert made.adds_up
        left = Counter({(one.entity.value, one.reason): 0 for one in made.troubles})
        for one in made.troubles:
            left[one.entity.value, one.reason] += one.rows
        taken = Counter(key for line in trip.sandbox.lines() for key, _ in line.accepted)
        assert all(count == 1 for key, count in taken.items() if key)
    return left


def _agree(url: str, folder: Path, oddities: list[Any]) -> None:
    engine = create_engine(url)
    try:
        shop = SoundShop(engine, folder, keys=String(40))
        for spoil in oddities:
            spoil(shop)
        said = _said(shop)
        if said is not None:
            assert said == _become(folder, url)
    finally:
        engine.dispose()


EXAMPLES = settings(
    max_examples=4, database=None, phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck)
)


@EXAMPLES
@given(oddities=st.lists(ODDITIES, min_size=1, max_size=8))
def test_what_the_check_says_of_sqlite_is_what_becomes_of_it(tmp_path_factory, oddities):
    folder = tmp_path_factory.mktemp("agree")
    _agree(f"sqlite:///{folder / 'legacy.sqlite'}", folder, oddities)


@pytest.mark.slow
@EXAMPLES
@given(oddities=st.lists(ODDITIES, min_size=1, max_size=8))
def test_what_the_check_says_of_postgresql_is_what_becomes_of_it(postgres_server, tmp_path_factory, oddities):
    with servers.fresh_database(postgres_server) as url:
        _agree(url, tmp_path_factory.mktemp("agree"), oddities)


@EXAMPLES
@given(oddities=st.lists(ODDITIES, min_size=1, max_size=8))
def test_what_the_check_says_of_mariadb_is_what_becomes_of_it(mariadb_server, tmp_path_factory, oddities):
    with servers.fresh_database(mariadb_server) as url:
        _agree(url, tmp_path_factory.mktemp("agree"), oddities)
