"""
A small shop in the shape of Chinook's (artists, albums, tracks, customers, invoices and their
lines) with people and prices of its own and a loyalty scheme, the same on every dialect.

A purchase earns points by a rule, so many for each track of a media type; what was spent of them
is booked.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, text


MAPPING = Path(__file__).parent / "mappings" / "music_shop"
#: Unquoted, as one SQL for all dialects has them; the type of a time is the dialect's own.
_TABLES = {
    "Artist": "ArtistId INTEGER PRIMARY KEY, Name VARCHAR(120)",
    "Album": "AlbumId INTEGER PRIMARY KEY, Title VARCHAR(160), ArtistId INTEGER",
    "Track": (
        "TrackId INTEGER PRIMARY KEY, Name VARCHAR(200), AlbumId INTEGER, MediaTypeId INTEGER, Milliseconds INTEGER,"
        " UnitPrice NUMERIC(10,2)"
    ),
    "Customer": (
        "CustomerId INTEGER PRIMARY KEY, FirstName VARCHAR(40), LastName VARCHAR(20), Company VARCHAR(80),"
        " City VARCHAR(40), Phone VARCHAR(24), Email VARCHAR(60)"
    ),
    "Invoice": "InvoiceId INTEGER PRIMARY KEY, CustomerId INTEGER, InvoiceDate {t}, Total NUMERIC(10,2), ChangedAt {t}",
    "InvoiceLine": (
        "InvoiceLineId INTEGER PRIMARY KEY, InvoiceId INTEGER, TrackId INTEGER, UnitPrice NUMERIC(10,2),"
        " Quantity INTEGER"
    ),
    "Member": (
        "CustomerId INTEGER PRIMARY KEY, JoinedAt {t}, BirthDate DATE, IsActive BOOLEAN, Discount NUMERIC(10,2),"
        " ChangedAt {t}"
    ),
    "PointsRule": "MediaTypeId INTEGER PRIMARY KEY, Points NUMERIC(10,2)",
    "PointsBooking": (
        "PointsBookingId INTEGER PRIMARY KEY, CustomerId INTEGER, Kind VARCHAR(10), Points NUMERIC(10,2), BookedAt {t},"
        " ChangedAt {t}"
    ),
}
_FIRST = ("Ana", "Bjørn", "Chloé", "Dušan", "Emre", "Françoise", 'Gil "G"', "Håkan", "Íñigo", "João \U0001f3b8")
_LAST = ("O'Hara", "Łuczak", "Peña", "Straße", "van der Meer", "de Á\\vila", "%Percent_")
_TRACKS = 23
#: By media type; such as do not add up in binary.
_RULES = {1: "0.10", 2: "0.35", 3: "1.15"}
PEOPLE = 60


class MusicShop:
    """
    The tables behind *engine*, and a business of `PEOPLE` customers that ended a week before *now*,
    a naive time in UTC.
    """

    def __init__(self, engine: Engine, now: datetime) -> None:
        self.engine = engine
        self.now = now
        time = "TIMESTAMP" if engine.dialect.name == "postgresql" else "DATETIME"
        with engine.begin() as on:
            for table, columns in _TABLES.items():
                on.exec_driver_sql(f"CREATE TABLE {table} ({columns.format(t=time)})")
            for number in range(1, 6):
                _add(on, "Artist", number, f"Artist №{number}")
                _add(on, "Album", number, f"Album {number}: Ça ira", number)
            for number in range(1, _TRACKS + 1):
                price = "1.99" if number % 4 == 0 else "0.99"
                _add(on, "Track", number, f"Track {number}", number % 6 or None, number % 3 + 1, number * 7919, price)
            for media, points in _RULES.items():
                _add(on, "PointsRule", media, points)
            for number in range(1, PEOPLE + 1):
                self._person(on, number, now - timedelta(days=400 - number))
                for turn in range(number % 7):
                    self._invoice(on, number * 10 + turn, number, now - timedelta(days=90 - turn, hours=number))
                if number % 3 == 0:
                    self._booking(on, number, number, now - timedelta(days=20))

    def goes_on(self) -> None:
        """
        A day later: people came, bought and spent, moved house, were put right and given back
        money.
        """
        at = self.now + timedelta(hours=20)
        with self.engine.begin() as on:
            for number in range(PEOPLE + 1, PEOPLE + 9):
                self._person(on, number, at)
                for turn in range(number % 4):
                    self._invoice(on, number * 10 + turn, number, at)
            self._booking(on, 900, PEOPLE + 2, at)
            self._invoice(on, 995, 5, at)  # of one who is there already
            for number in (7, 14, 21):
                _run(on, "UPDATE Customer SET City = 'Ærøskøbing' WHERE CustomerId = :n", n=number)
                _run(on, "UPDATE Member SET ChangedAt = :at WHERE CustomerId = :n", n=number, at=at)
            _run(on, "UPDATE Customer SET Email = 'put.right@example.com' WHERE CustomerId = 11")
            _run(on, "UPDATE Invoice SET Total = Total - 0.3, ChangedAt = :at WHERE InvoiceId IN (60, 61)", at=at)
            _run(on, "DELETE FROM InvoiceLine WHERE InvoiceId = 130")
            _run(on, "UPDATE Invoice SET ChangedAt = :at WHERE InvoiceId = 130", at=at)

    def _person(self, on: Connection, number: int, at: datetime) -> None:
        first, last = _FIRST[number % len(_FIRST)], _LAST[number % len(_LAST)]
        email = {11: "nobody", 22: None, 33: " Mixed.Case@Example.COM "}.get(number, f"c{number}@example.com")
        company = f"Firma {last}" if number % 5 == 0 else "" if number % 5 == 1 else None
        _add(on, "Customer", number, first, last, company, f"Città {number}", f"+55 (11) {number:04}", email)
        born = date(1960, 2, 28) + timedelta(days=97 * number) if number % 4 else None
        if number != 44:  # who buys, and never joined
            _add(on, "Member", number, at, born, number % 6 != 0, f"{number % 3}.50", at)

    def _invoice(self, on: Connection, number: int, customer: int, at: datetime) -> None:
        total = 0
        for pos in range(number % 9 + 1):
            track, quantity = (number * 5 + pos * 3) % _TRACKS + 1, pos % 3 + 1
            cents = 199 if track % 4 == 0 else 99
            total += cents * quantity
            _add(on, "InvoiceLine", number * 10 + pos, number, track, f"{cents / 100:.2f}", quantity)
        _add(on, "Invoice", number, customer, at, f"{total / 100:.2f}", at + timedelta(minutes=1))

    def _booking(self, on: Connection, number: int, customer: int, at: datetime) -> None:
        kind = "S" if number % 2 else "X"
        _add(on, "PointsBooking", number, customer, kind, "-0.15" if number % 6 else "-0.05", at, at)


def _add(on: Connection, table: str, *values: Any) -> None:
    names = [f"v{number}" for number in range(len(values))]
    places = ", ".join(f":{name}" for name in names)
    on.execute(text(f"INSERT INTO {table} VALUES ({places})"), dict(zip(names, map(_plain, values), strict=True)))


def _run(on: Connection, statement: str, **values: Any) -> None:
    on.execute(text(statement), {name: _plain(value) for name, value in values.items()})


def _plain(value: Any) -> Any:
    """Return *value* as every driver takes it: a time as text, without its fraction."""
    return value.isoformat(sep=" ", timespec="seconds") if isinstance(value, datetime) else value
