"""
The place of a legacy row: its key as the database hands it out, with its type, as text.

By its place a row is known, whatever is made of its key: ``17``, ``'17'`` and ``'17 '`` are three.
Only what a place gives back is ever asked of the legacy database again.

======  ================================================  ==========================================
begins  is                                                example
======  ================================================  ==========================================
``i``   a whole number; its length first, so that places  ``ib17``
        are in the order of their numbers
``t``   text                                              ``tA-17``
``s``   text with blanks at its end, which some
        databases would not see                           ``sA-17 |``
``d``   a decimal number                                  ``d17.5``
``f``   a floating-point number                           ``f17.5``
``u``   a UUID                                            ``u3c90c3cc-0d44-4b50-8888-8dd25736052a``
``b``   bytes                                             ``bff00``
``o``   anything else, as text                            ``o2024-01-01``
``h``   the hash of what is too long, or is no text that  ``h5f1c...``
        a ledger can keep
``n``   the hash of a row without a key                   ``n77ab...``
======  ================================================  ==========================================

A further row of a place has ``~`` and its content behind it; see `copy_of`.
"""

from __future__ import annotations

import hashlib
from decimal import Decimal
from typing import Any
from uuid import UUID

from masivo_engine.model.ledger_capacity import KEY


NO_PLACE = "n"  # of a customer who is not named, too
_COPY = "~"


def place_of(key: Any) -> str:
    """Return the place of *key*; None is none."""
    if type(key) is str:
        return _of_text(key)
    if type(key) is int:
        return _of_number(key)
    match key:
        case None:
            return NO_PLACE
        case bool() | int():
            return _of_number(int(key))
        case Decimal():
            return _short("d", str(key))
        case UUID():
            return f"u{key}"
        case float():
            return f"f{key!r}"
        case bytes() | bytearray() | memoryview():
            return _short("b", bytes(key).hex())
        case str():
            return _of_text(str(key))
        case _:
            return _short("o", str(key))


def place_without_key(*values: Any) -> str:
    """Return the place of a row that has no key, of which only *values* are known."""
    return NO_PLACE + _digest(repr(values))


def key_of(place: str) -> Any:
    """Return the key that *place* is of. Raises `ValueError` where it cannot be given back."""
    kind, text = place[:1], place[1:].split(_COPY, 1)[0] if is_copy(place) else place[1:]
    match kind:
        case "i":
            return int(text[1:])
        case "t" | "o":
            return text
        case "s":
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


def has_key(place: str) -> bool:
    """Whether `key_of` gives the key of *place* back."""
    return place[:1] not in ("h", NO_PLACE, "")


def copy_of(place: str, content: bytes, number: int) -> str:
    """
    Return where a further row of *place* stands: by its *content*, and by its *number* among those
    of the same content, never by the order in which rows came.
    """
    return f"{place}{_COPY}{content.hex()[:12]}.{number}"


def is_copy(place: str) -> bool:
    """Whether *place* is that of a further row of another one."""
    head, mark, tail = place.rpartition(_COPY)
    return bool(mark and head) and len(tail) > 13 and tail[12] == "." and tail[13:].isdecimal()


def base_of(place: str) -> str:
    """Return the place that a row of *place* has, or is a further row of."""
    return place.rpartition(_COPY)[0] if is_copy(place) else place


def _of_number(number: int) -> str:
    digits = str(number)
    if number < 0 or len(digits) > 26:
        return _short("d", digits)
    return f"i{chr(96 + len(digits))}{digits}"


def _of_text(text: str) -> str:
    if len(text) > KEY or "\x00" in text or not _is_storable(text):
        return "h" + _digest(text)
    return f"s{text}|" if text != text.rstrip() else f"t{text}"


def _short(kind: str, text: str) -> str:
    return kind + text if len(text) <= KEY and "\x00" not in text else "h" + _digest(text)


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
