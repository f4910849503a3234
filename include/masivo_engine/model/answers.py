"""
What an answer means, decided in one place.

=============  ========================================================  ===========================
verdict        what came back                                            what follows
=============  ========================================================  ===========================
``ACCEPTED``   201                                                       the batch is delivered
``TRY_AGAIN``  failed before the request left; 401, 429; 503 with the    the same batch, later
               limiter's mark: ``Retry-After``, or ``X-RateLimit-*``
               that leaves nothing
``REFUSED``    400, 409, 413, 415, 422; 403, 404, 406, 410, 451 or a     take the batch apart
               page, if a GET shows that address and key are right
``STOP``       403, 404, 405, 410, 3xx, 2xx that is not 201, a web page  no further request
``IN_DOUBT``   everything else after the request left: time-outs,        read back, never send blind
               resets, 408, 500, 502, 503 without a mark, 504, unknown
               codes; 201 that counts fewer than were sent
=============  ========================================================  ===========================

A gateway says 503 or 408 also when the connection to the API broke after the request was handed on,
so only who limits says "not accepted". A 401 is decided before a body is looked at. A 425 is about
early data, which is never sent from here: whoever says it is not understood, so it is a doubt.

A firewall before the API answers 403, often with a page, to what one body *says*, and lets all else
through. So whoever gets such an answer asks for something that takes only address and key
(`Answer.is_about_content`).

201 and nothing else is success: a captive portal answers 200 with a page. A status line that says
201 counts even if the rest of the answer is cut, because the API's 201 has no body. Sources:
docs/api-facts.md#f-events (201, 422), docs/api-facts.md#f-limits and docs/api-facts.md#f-errors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import StrEnum
from math import isfinite
from typing import Any


class Verdict(StrEnum):
    """What an answer means for the batch that was sent."""

    ACCEPTED = "accepted"
    TRY_AGAIN = "try_again"
    REFUSED = "refused"
    STOP = "stop"
    IN_DOUBT = "in_doubt"


@dataclass(frozen=True, slots=True)
class Answer:
    """
    What came back for one request, or how it failed.

    *status* is 0 when no status line was read; then *failure* says what happened in a few words
    without any payload, and *left* whether the request may have left this machine. *headers* have
    lower-case names. *text* is the beginning of the body (at most 2,000 characters).
    *is_about_content*: the API answers to the same key at the same address, so whoever refused this
    request refused what is in it. *counts_fewer*: it says of fewer records than were sent that they
    were taken.
    """

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    text: str = ""
    failure: str = ""
    left: bool = True
    seconds: float = 0.0
    is_about_content: bool = False
    counts_fewer: bool = False

    @property
    def is_page(self) -> bool:
        """Whether a web page came instead of the API: Masivo's app lives on the same host."""
        kind = self.headers.get("content-type", "").lower()
        # A sentence of the API may begin with the name of somebody who is called `<...>`.
        return "html" in kind or ("json" not in kind and bool(_PAGE.match(self.text)))

    def __str__(self) -> str:
        return str(self.status) if self.status else self.failure


_PAGE = re.compile(r"\s*<(?:!doctype|!--|\?xml|html|head|body|title|meta|center|h1|div|script|error)\b", re.IGNORECASE)
_KEPT = 2_000  # of the body's characters
# Also as JSON and URLs write the sign.
_EMAIL = re.compile(r"[^\s\"'<>(),;:]+(?:@|%40|\\u0040)[^\s\"'<>(),;:]*", re.IGNORECASE)
_TRY_AGAIN = frozenset({401, 429})
_REFUSED = frozenset({400, 409, 413, 415, 422})
_STOP = frozenset({402, 403, 404, 405, 406, 410, 411, 421, 426, 451, 501})


def verdict(answer: Answer) -> Verdict:
    """Judge *answer*; the table above, line by line."""
    status = answer.status
    if not answer.left:  # whatever was answered, it was not to the batch
        return Verdict.STOP if status in _STOP else Verdict.TRY_AGAIN
    if status == 0:
        return Verdict.IN_DOUBT
    if status == 201:
        return Verdict.IN_DOUBT if answer.counts_fewer else Verdict.ACCEPTED
    if answer.is_about_content:
        return Verdict.REFUSED
    if status in _TRY_AGAIN or (status == 503 and _is_limited(answer)):
        return Verdict.TRY_AGAIN
    if status in _STOP or 200 <= status < 400:
        return Verdict.STOP
    if status in _REFUSED:
        return Verdict.STOP if answer.is_page and status != 413 else Verdict.REFUSED
    return Verdict.IN_DOUBT


# What a firewall or a filter answers to a body that it does not like. A 405 or a 411 is about the
# request, a redirect about the address.
_ABOUT_CONTENT = frozenset({400, 403, 404, 406, 409, 410, 415, 418, 422, 451})


def may_be_about_content(answer: Answer) -> bool:
    """
    Whether *answer* stops the run, unless address and key are shown to be right: then it is about
    what the request holds.
    """
    return answer.left and verdict(answer) is Verdict.STOP and answer.status in _ABOUT_CONTENT


# What bodies of other APIs of this kind are seen to count, by what the count is of.
_TAKEN = frozenset({"accepted", "enqueued", "queued", "received", "succeeded"})
_LEFT = frozenset({"failed", "rejected", "refused", "errors", "invalid", "skipped", "failures", "ignored", "dropped"})


def counts_fewer(answer: Answer, customers: int, records: int) -> bool:
    """
    Whether the body of a 201 says that not all of the request was taken: something was left, or
    fewer were taken than it had of *customers* and of *records*.
    """
    if answer.status != 201 or not answer.text.lstrip().startswith("{"):
        return False
    try:
        said = json.loads(answer.text)
    except ValueError:
        return False
    return any(
        (name in _LEFT and _many(value) > 0) or (name in _TAKEN and 0 <= _many(value) < min(customers, records))
        for name, value in _named(said)
    )


def _named(said: Any) -> Iterator[tuple[str, Any]]:
    """Yield what a JSON object names, also in the objects inside of it."""
    for name, value in said.items() if isinstance(said, dict) else ():
        # `acceptedCount`, `records_accepted` and `accepted` are one.
        words = {word.lower() for word in re.findall(r"[A-Z]?[a-z]+", str(name))}
        yield next(iter(sorted(words & (_TAKEN | _LEFT))), str(name)), value
        yield from _named(value)


def _many(value: Any) -> int:
    """Return how many *value* is or has; -1 where it says no number."""
    if isinstance(value, bool) or value is None:
        return -1
    if isinstance(value, list | dict):
        return len(value)
    return int(value) if isinstance(value, int | float) and isfinite(value) else -1


def retry_after_s(answer: Answer, *, default: float) -> float:
    """
    Seconds that the API asks to wait: ``Retry-After`` as seconds or as a date, else
    ``X-RateLimit-Reset``, else *default*.

    A date is measured against the server's own ``Date`` header, never against this machine's clock.
    A value that is negative, past or no number counts as *default*; an absurdly long one is
    returned as it is, for the caller to give the task back.
    """
    asked = answer.headers.get("retry-after", "").strip()
    seconds = _number(asked)
    if seconds is None and asked:
        seconds = _seconds_until(asked, answer.headers.get("date", ""))
    if seconds is None:
        seconds = _number(answer.headers.get("x-ratelimit-reset", "").strip())
    return seconds if seconds is not None and seconds > 0 else default


def _is_limited(answer: Answer) -> bool:
    """
    Whether whoever limits says so; that something is left of a limit is said of every answer, also
    of one that broke behind the limiter.
    """
    if answer.headers.get("retry-after", "").strip():
        return True
    left = _number(answer.headers.get("x-ratelimit-remaining", "").strip())
    return any(name.startswith("x-ratelimit-") for name in answer.headers) and not (left and left > 0)


def words(answer: Answer) -> str:
    """
    Return what the API said, fit to be kept: a page is only named, and e-mail addresses are taken
    out.
    """
    if answer.is_page:
        return "(a web page)"
    said = answer.text or answer.failure
    if len(said) >= _KEPT:
        said = re.sub(r"\S*\Z", "", said)  # half an address would not be known for one
    return _EMAIL.sub("(e-mail)", said)[:500]


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if isfinite(value) else None


def _seconds_until(asked: str, now: str) -> float | None:
    try:
        until, since = parsedate_to_datetime(asked), parsedate_to_datetime(now)
    except (TypeError, ValueError, OverflowError):
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    if since.tzinfo is None:
        since = since.replace(tzinfo=UTC)
    return (until - since).total_seconds()
