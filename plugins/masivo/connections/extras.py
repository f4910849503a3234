"""
The extras of a connection, read by name and checked.

The form in the UI gives JSON types and nulls, ``AIRFLOW_CONN_*`` as a URI gives text: both mean the
same here. An empty field is an absent one.
"""

from __future__ import annotations

import difflib
import json
import logging
import math
from collections.abc import Iterable
from typing import Any

from masivo_engine.model.errors import Misconfigured


_log = logging.getLogger(__name__)
_FLAGS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


class Extras:
    """
    The extras of the connection that is *called* so; every reader raises `Misconfigured` naming the
    field.
    """

    def __init__(self, called: str, extra: str | None) -> None:
        self._called = called
        self._values = _parsed(called, extra)
        self._read: set[str] = set()

    def text(self, name: str) -> str:
        """Return *name* as text without surrounding space; empty where it is absent."""
        value = self._value(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self._wrong(name, "a text", value)
        return value.strip()

    def one_of(self, name: str, choices: tuple[str, ...]) -> str:
        """Return *name*, in lower case, as one of *choices*; empty where it is absent."""
        value = self.text(name).lower()
        if value and value not in choices:
            raise self._wrong(name, " or ".join(choices), value)
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        """Return *name* as yes or no."""
        value = self.text_or_flag(name)
        if value == "":
            return default
        if isinstance(value, str):
            raise self._wrong(name, "true or false", value)
        return value

    def text_or_flag(self, name: str) -> str | bool:
        """Return *name* as a flag if it is one, else as text; empty where it is absent."""
        value = self._value(name)
        if isinstance(value, bool):
            return value
        text = self.text(name)
        return _FLAGS.get(text.lower(), text)

    def count(self, name: str, default: int, *, most: int | None = None) -> int:
        """Return *name* as a whole number from 1 to *most*."""
        expected = "a whole number of at least 1" if most is None else f"a whole number from 1 to {most}"
        number = self._number(name, expected)
        if number is None:
            return default
        if number < 1 or number != int(number) or (most is not None and number > most):
            raise self._wrong(name, expected, number)
        return int(number)

    def seconds(self, name: str, default: float, *, above: float | None = None) -> float:
        """Return *name* in seconds: not negative, and more than *above* where that is given."""
        expected = "a number of seconds, not negative" if above is None else f"a number of seconds above {above:g}"
        number = self._number(name, expected)
        if number is None:
            return default
        if number < 0 or (above is not None and number <= above):
            raise self._wrong(name, expected, number)
        return number

    def warn_of_unread(self) -> None:
        """
        Log the names that nobody asked for, each with the nearest that is known: a typo must not
        pass in silence.
        """
        for name in sorted(self._values.keys() - self._read):
            near = nearest(name, self._read)
            hint = f"; did you mean {near!r}?" if near else ""
            _log.warning("extra %r of %s is not known and is ignored%s", name, self._called, hint)

    def _value(self, name: str) -> Any:
        self._read.add(name)
        return self._values.get(name)

    def _number(self, name: str, expected: str) -> float | None:
        value = self._value(name)
        if value is None or value == "":
            return None
        try:
            number = float("nan") if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):
            raise self._wrong(name, expected, value) from None
        if not math.isfinite(number):
            raise self._wrong(name, expected, value)
        return number

    def _wrong(self, name: str, expected: str, value: Any) -> Misconfigured:
        # A number is shown because it helps; text is not, because people paste keys into the wrong
        # field.
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        shape = f"{value:g}" if is_number else f"a {type(value).__name__} of {len(str(value))} characters"
        return Misconfigured(f"extra `{name}` of {self._called} must be {expected}, but is {shape}")


def nearest(name: str, known: Iterable[str]) -> str:
    """
    Return which of *known* names is likely meant by *name*, whatever its case and its dashes; empty
    where none is near.
    """
    by_letters = {_letters(one): one for one in sorted(known)}
    near = difflib.get_close_matches(_letters(name), by_letters, n=1)
    return by_letters[near[0]] if near else ""


def _letters(name: str) -> str:
    return name.strip().casefold().replace("-", "_").replace(" ", "_")


def _parsed(called: str, extra: str | None) -> dict[str, Any]:
    if not extra or not extra.strip():
        return {}
    try:
        values = json.loads(extra)
    except ValueError:
        raise Misconfigured(f"the extra of {called} is no JSON; correct it in the connection") from None
    if not isinstance(values, dict):
        raise Misconfigured(f"the extra of {called} is no JSON object; correct it in the connection")
    return values
