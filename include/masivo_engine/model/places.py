"""
The place of a legacy row: its key as the database hands it out, with its type, as text.

By its place a row is known, whatever is made of its key: ``17``, ``'17'`` and ``'17 '`` are three.
Only what a place gives back is ever asked of the legacy database again. Keys that are equal and of
one type have one place: ``17.5`` and ``17.50``, or one moment by two clocks.

======  ================================================  ==========================================
begins  is                                                example
======  ================================================  ==========================================
``i``   a whole number; its length first, so that places  ``ib17``
        are in the order of their numbers
``t``   text                                              ``tA-17``
``s``   text with blanks at its end, which some           ``sA-17 |``
        databases would not see, or that ends as a
        further row's place does
``d``   a decimal number                                  ``d17.5``
``f``   a floating-point number                           ``f17.5``
``u``   a UUID                                            ``u3c90c3cc-0d44-4b50-8888-8dd25736052a``
``b``   bytes                                             ``bff00``
``o``   anything else, as text                            ``o2024-01-01|``
``h``   the hash of what is too long, or is no text that  ``h5f1c...``
        a ledger can keep
``n``   the hash of a row without a key                   ``n77ab...``
======  ================================================  ==========================================

A further row of a place has ``~`` and its content behind it; see `copy_of`.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from typing import Any
from uuid import UUID

from masivo_engine.model.ledger_capacity import KEY


NO_PLACE = "n"  # of a customer who is not named, too
_UNKEPT = "h"
_COPY, _END = "~", "|"
_CONTENT = 12  # hexadecimal digits of a further row's content
_MOST_LENGTHS = 26  # of whole numbers, which have a letter each
_EXACT = Context(prec=MAX_PREC, Emin=MIN_EMIN, Emax=MAX_EMAX, traps=[])


def place_of(key: Any) -> str:
    """Return the place of *key*; None is none."""
    if isinstance(key, str):
        return _of_text(str(key))
    match key:
        case None:
            return NO_PLACE
        case int():
            return _of_number(int(key))
        case Decimal():
            return _of_decimal(key)
        case UUID():
            return f"u{key}"
        case float():
            return f"f{key + 0.0!r}"  # there are two zeros, and they are equal
        case bytes() | bytearray() | memoryview():
            return _short("b", bytes(key).hex())
        case _:
            return _short("o", str(_by_one_clock(key)), _END)


def place_without_key(*values: Any) -> str:
    """Return the place of a row that has no key, of which only *values* are known."""
    return NO_PLACE + _digest("\x00".join(map(place_of, values)))


def place_of_row(key: Any, customer: Any, amount: Any = None) -> str:
    """Return the place of a row with this *key*; without one it is known by what else it has."""
    return place_without_key(customer, amount) if key is None else place_of(key)


def key_of(place: str) -> Any:
    """Return the key that *place* is of. Raises `ValueError` where it cannot be given back."""
    place = first_of(place)
    kind, text = place[:1], place[1:]
    match kind:
        case "i":
            return int(text if text.startswith("-") else text[1:])
        case "t":
            return text
        case "s" | "o":
            return text[:-1]
        case "d":
            return Decimal(text)
        case "f":
            return float(text)
        case "u":
            return UUID(text)
        case "b":
            return bytes.fromhex(text)
        case _:
            raise ValueError("the key of this place is not kept")


def kind_of_key(place: str) -> str:
    """Return the letter that says of which type the key of *place* is; see the module."""
    return place[:1]


def has_key(place: str) -> bool:
    """Whether `key_of` gives the key of *place* back."""
    return place[:1] not in (_UNKEPT, NO_PLACE, "")


def is_unkept(place: str) -> bool:
    """Whether the row has a key, but one that no ledger can keep."""
    return place[:1] == _UNKEPT


def copy_of(place: str, content: bytes, number: int) -> str:
    """
    Return where a further row of *place* stands: by its *content*, and by its *number* among those
    of the same content, never by the order in which rows came.
    """
    return f"{place}{_COPY}{content.hex()[:_CONTENT]:0<{_CONTENT}}.{number}"


def is_copy(place: str) -> bool:
    """Whether *place* is that of a further row of another one."""
    if _COPY not in place:
        return False
    head, _, tail = place.rpartition(_COPY)
    return bool(head) and tail[_CONTENT : _CONTENT + 1] == "." and tail[_CONTENT + 1 :].isdecimal()


def first_of(place: str) -> str:
    """Return the place of which *place* is a further row, or *place* itself."""
    return place.rpartition(_COPY)[0] if is_copy(place) else place


def _of_number(number: int) -> str:
    if number.bit_length() > 4 * KEY:  # Python writes no number of many thousand digits
        return _UNKEPT + _digest(f"i{number:x}")
    digits = str(number)
    if number < 0:
        return _short("i", digits)
    if len(digits) <= _MOST_LENGTHS:
        return f"i{chr(96 + len(digits))}{digits}"
    return _short("i{", digits)  # which comes after all letters


def _of_decimal(number: Decimal) -> str:
    if not number.is_finite():
        return _short("d", str(number))
    if not number:
        return "d0"
    number = number.normalize(_EXACT)
    text = f"{number:f}" if abs(number.adjusted()) < KEY else str(number)
    return _short("d", text if len(text) <= KEY else str(number))


def _of_text(text: str) -> str:
    if len(text) > KEY or "\x00" in text or not _is_storable(text):
        return _UNKEPT + _digest(f"t{text}")
    if text != text.rstrip() or (_COPY in text and is_copy(f"t{text}")):
        return f"s{text}{_END}"
    return f"t{text}"


def _short(kind: str, text: str, end: str = "") -> str:
    if len(text) > KEY or "\x00" in text or not _is_storable(text):
        return _UNKEPT + _digest(kind[0] + text)
    return kind + text + end


def _by_one_clock(key: Any) -> Any:
    """Return a moment as UTC, because a session may have any time zone; anything else as it is."""
    if isinstance(key, datetime) and key.tzinfo is not None:
        try:
            return key.astimezone(UTC)
        except OverflowError:
            return key
    return key


def _is_storable(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
