"""
Legacy values into JSON values, by the kind of field they are for.

Each reader takes what a database driver may hand out. It returns what is sent, or raises `Unfit`.
None never reaches a reader: the field decides what an empty column means.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from functools import cache, lru_cache
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson

from masivo_engine.contract.fields import LONGEST_KEY, Kind
from masivo_engine.mapping.settings import Places


Reader = Callable[[Any], Any]

# A double keeps 15 significant digits of any decimal number. More would be sent with a visible
# error.
_MOST_DIGITS = 15
LARGEST = 10**_MOST_DIGITS
OLDEST_YEAR = 1900
_DECIMAL = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d{1,3})?|[+-]?\.\d+")
_TRUE, _FALSE = frozenset({"1", "t", "true", "\x01"}), frozenset({"0", "f", "false", "\x00"})


# Signs that print nothing although Python calls them printable: joiners, fillers, selectors.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_LONG_NUMBER = re.compile(r"\d[\d.]{15}|[\d.][eE][+-]?\d")


class Unfit(Exception):
    """A value that its field cannot take."""

    def __init__(self, reason: str, shape: str) -> None:
        super().__init__(reason, shape)
        self.reason = reason  #: a code of `masivo_engine.model.reasons`
        self.shape = shape  #: describes the value without showing it


def shape(value: object) -> str:
    """Describe *value* without showing it: its type, and its length or sign."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "yes/no"
        case str():
            return f"text of {len(value)} characters"
        case bytes() | bytearray() | memoryview():
            return f"{len(value)} bytes"
        case int() | float() | Decimal():
            return f"number of {len(str(value))} characters"
        case _:
            return type(value).__name__


def reader(kind: Kind, *, zone: ZoneInfo, places: Places) -> Reader:
    """Return the reader for fields of *kind*. Naive timestamps are in *zone*."""
    match kind:
        case Kind.INSTANT:
            return lambda value: instant(value, zone)
        case Kind.DAY:
            return lambda value: _day(value, zone)
        case Kind.MONEY:
            return _number_to(places.money)
        case Kind.POINTS:
            return _number_to(places.points)
        case Kind.QUANTITY:
            return _number_to(places.quantity)
        case Kind.FLAG:
            return _flag
        case Kind.FREE:
            return free
        case _:
            return text


def text(value: Any) -> str | None:
    """
    Read text, without the blanks around it (legacy CHAR columns are padded). Blank text is nothing.

    Whole numbers and UUIDs become text, so that 64-bit ids survive.
    """
    given = type(value)
    if given is str:
        found: str = value
    elif given is int or given is UUID:
        return str(value)
    elif given is Decimal:
        return _whole(value)
    else:
        found = _decoded(value)
    found = found.strip()
    # Printable text, the usual case, holds neither a NUL nor half a surrogate pair.
    if not found.isprintable() and ("\x00" in found or not _encodes(found)):
        raise Unfit("invalid_text", shape(value))
    return found or None


def key_text(value: Any) -> str | None:
    """
    Read a key as text. A sign that nobody sees (a byte order mark, a zero-width space) makes it
    another key than it looks, so it is refused.
    """
    found = text(value)
    if found is not None and (not found.isprintable() or _UNSEEN.search(found)):
        raise Unfit("invisible_sign", f"text of {len(found)} characters, with {', '.join(unseen(found))}")
    return found


def unseen(value: str) -> list[str]:
    """Return the code points of *value* that nobody sees, as ``U+FEFF``, each once."""
    signs = (sign for sign in value if not sign.isprintable() or _UNSEEN.search(sign))
    return list(dict.fromkeys(f"U+{ord(sign):04X}" for sign in signs))


def free(value: Any) -> dict[str, Any] | None:
    """Read a free object, from JSON text or from what the driver made of a JSON column."""
    found = from_json(value)
    if found is not None and not isinstance(found, dict):
        raise Unfit("wrong_type", shape(value))
    return found


def from_json(value: Any) -> Any:
    """
    Read JSON, without the nulls of its objects: the contract allows null nowhere in them.

    Numbers are exact, or refused: a reader of JSON makes a float of what is too long for it.
    """
    try:
        if isinstance(value, dict | list):
            found = _without_nulls(_exact(value))
        else:
            written = text(value)
            found = None if written is None else _without_nulls(_parsed(written))
        # What can be read but not written (half a surrogate pair, an endless number, 254 levels) is
        # found here, while its column is known. A payload may put six levels around it.
        orjson.dumps([[[[[[found]]]]]])
    except (orjson.JSONDecodeError, orjson.JSONEncodeError, RecursionError):
        raise Unfit("not_json", shape(value)) from None
    return found


def _parsed(written: str) -> Any:
    found = orjson.loads(written)
    if _LONG_NUMBER.search(written):
        # Read once more, with every number as it is written.
        found = _exact(json.loads(written, parse_float=Decimal))
    return found


def _exact(value: Any) -> Any:
    """Return *value* with its numbers as they can be sent. Raises `Unfit` for any other."""
    if isinstance(value, dict):
        return {key: _exact(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_exact(item) for item in value]
    if isinstance(value, Decimal):
        number = float(value)
        if not value.is_finite() or Decimal(repr(number)) != value:
            raise Unfit("number_too_long", f"number of {len(value.as_tuple().digits)} digits")
        return number
    if isinstance(value, int) and not -_LEAST_INTEGER <= value < _MOST_INTEGER:
        raise Unfit("number_too_long", f"number of {len(str(abs(value)))} digits")
    return value


# What a JSON number can hold as a whole one, by those who write and read it here.
_LEAST_INTEGER, _MOST_INTEGER = 2**63, 2**64


def _whole(value: Decimal) -> str:
    if not value.is_finite() or value.adjusted() >= LONGEST_KEY or value != value.to_integral_value():
        raise Unfit("wrong_type", shape(value))
    return str(int(value))


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


def _number_to(places: int) -> Reader:
    rounded = rounded_to(places)

    def read(value: Any) -> int | float | None:
        given = type(value)
        if given is float or given is Decimal:
            try:
                return rounded(value)
            except TypeError:  # a signalling NaN cannot even be looked up
                raise Unfit("not_a_number", shape(value)) from None
        if given is int:
            whole: int = value
            if -LARGEST < whole < LARGEST:
                return whole
            raise Unfit("not_a_number", shape(value))
        if not isinstance(value, str | bytes | bytearray | memoryview):
            raise Unfit("not_a_number", shape(value))
        found = text(value)
        if found is not None and not _DECIMAL.fullmatch(found):
            raise Unfit("not_a_number", shape(value))
        return None if found is None else rounded(found)

    return read


def decimal_of(value: float, places: int) -> Decimal:
    """
    Return the decimal that a double stands for, of which *places* decimals are wanted.

    What SQLite reckons with decimals it reckons in doubles, so that half a cent comes as
    0.004999999999999999. Fifteen digits are what a double is good for, and what SQLite itself
    writes of one; a number so large that they end at *places* is taken as it is.
    """
    exact = Decimal(repr(value))  # the shortest decimal that means it
    if not exact.is_finite() or _MOST_DIGITS - 1 - exact.adjusted() <= places:
        return exact
    return Decimal(f"{value:.{_MOST_DIGITS}g}")


@cache
def rounded_to(places: int) -> Callable[[Decimal | float | str], int | float]:
    """
    Return what rounds a number to *places*, half up, the same one for every caller.

    It raises `Unfit`.
    """
    unit = Decimal(1).scaleb(-places)

    @lru_cache(maxsize=65536, typed=True)  # prices repeat
    def rounded(value: Decimal | float | str) -> int | float:
        try:
            given = decimal_of(value, places) if isinstance(value, float) else Decimal(value)
            exact = given.quantize(unit, ROUND_HALF_UP)
        except InvalidOperation:
            raise Unfit("not_a_number", shape(value)) from None
        if not exact.is_finite():
            raise Unfit("not_a_number", shape(value))
        whole = exact.to_integral_value()
        digits = len((whole if whole == exact else exact).as_tuple().digits)
        if digits > _MOST_DIGITS:
            raise Unfit("not_a_number", f"number of {digits} digits")
        return int(whole) if whole == exact else float(exact)

    return rounded


def instant(value: Any, zone: ZoneInfo) -> str | None:
    """
    Read a point in time as UTC with milliseconds.

    A naive time that a clock change repeats is taken as the first of the two. One that it skips is
    read as if the clock had not changed yet (PEP 495, fold 0). A date without a time is its
    midnight in *zone*.
    """
    moment = value if isinstance(value, datetime) else _moment(value)
    if moment is None:
        return None
    try:
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=zone)
        moment = moment.astimezone(UTC)
    except (OverflowError, ValueError):
        raise Unfit("not_a_date", shape(value)) from None
    return _written(moment, value)


def _day(value: Any, zone: ZoneInfo) -> str | None:
    """
    Read a calendar day: what was written, or, of an instant, what clocks in *zone* show then.
    """
    moment = value if isinstance(value, datetime) else _moment(value)
    if moment is None:
        return None
    try:
        shown = moment if moment.tzinfo is None else moment.astimezone(zone)
    except (OverflowError, ValueError):
        raise Unfit("not_a_date", shape(value)) from None
    return _written(shown.replace(tzinfo=UTC), value)


def _moment(value: Any) -> datetime | None:
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)  # noqa: DTZ001 (the caller gives it its zone)
    if not isinstance(value, str | bytes | bytearray | memoryview):
        raise Unfit("not_a_date", shape(value))
    found = text(value)
    if found is None:
        return None
    try:
        return datetime.fromisoformat(found)
    except ValueError:
        raise Unfit("not_a_date", shape(value)) from None


def _written(moment: datetime, value: Any) -> str:
    if moment.year < OLDEST_YEAR:
        raise Unfit("not_a_date", f"{shape(value)}, year {moment.year}")
    return moment.isoformat(timespec="milliseconds")[:23] + "Z"


def _flag(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float) or (isinstance(value, Decimal) and value.is_finite()):
        if value in (0, 1):
            return value == 1
        raise Unfit("not_a_boolean", shape(value))
    if isinstance(value, str | bytes | bytearray | memoryview):
        found = (value if isinstance(value, str) else _decoded(value)).strip(" ").lower()
        if not found:
            return None
        if found in _TRUE or found in _FALSE:
            return found in _TRUE
    raise Unfit("not_a_boolean", shape(value))


def _decoded(value: Any) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, bytes | bytearray | memoryview):
        raise Unfit("wrong_type", shape(value))
    try:
        return bytes(value).decode("utf-8")
    except UnicodeDecodeError:
        raise Unfit("invalid_text", shape(value)) from None


def _encodes(value: str) -> bool:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
