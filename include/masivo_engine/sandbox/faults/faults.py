"""
What goes wrong on purpose, and when: the faults by name, and the script that plays them.

Rows 28 to 49 of `docs/faults.md`. `misbehaviour` plays them.
"""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType
from typing import Any


FAULTS: Mapping[str, str] = MappingProxyType(
    {
        "400": "nothing accepted",
        "401": "nothing accepted",
        "403": "nothing accepted",
        "403_page": "a firewall's page, before the API has seen it; nothing accepted",
        "404": "nothing accepted",
        "406_page": "a firewall's page, before the API has seen it; nothing accepted",
        "413": "nothing accepted",
        "413_page": "a proxy's page, before the API has seen it; nothing accepted",
        "413_text": "a proxy's words, before the API has seen it; nothing accepted",
        "413_early": "answered before the body is read, then the connection ends; nothing accepted",
        "422_opaque": "a sentence that names nobody; nothing accepted",
        "422_html": "a web page; nothing accepted",
        "422_angle": "a sentence that begins with <; nothing accepted",
        "422_empty": "no body; nothing accepted",
        "429": "without Retry-After and without X-RateLimit headers; nothing accepted",
        "429_s": "Retry-After in seconds",
        "429_date": "Retry-After as a date by the server's clock",
        "429_past": "Retry-After as a date that is an hour gone",
        "429_neg": "Retry-After: -5",
        "429_bad": "Retry-After: soon",
        "429_huge": "Retry-After: a day",
        "500": "nothing accepted",
        "502": "a gateway's page; nothing accepted",
        "503": "without Retry-After and without X-RateLimit headers; nothing accepted",
        "503_s": "with Retry-After in seconds; nothing accepted",
        "408_but_accepted": "accepted all the same",
        "500_but_accepted": "accepted all the same",
        "503_but_accepted": (
            "a gateway's words, without Retry-After and without X-RateLimit headers; accepted all the same"
        ),
        "504_but_accepted": "accepted all the same",
        "rst_before": "the connection is reset before the body is read; nothing accepted",
        "rst_after_accept": "accepted, then the connection is reset",
        "close_after_accept": "accepted, then the connection ends without an answer",
        "garbage": "bytes that are no HTTP; nothing accepted",
        "truncated": "accepted; the answer's body is cut off",
        "201_fewer": "accepted; the answer's body says that one was rejected",
        "bad_gzip": "accepted; the answer's body claims to be gzip and is not",
        "huge_header": "accepted; the answer has a header of 200 kB",
        "ok_html_body": "accepted; the answer's body is a web page",
        "hang_before": "the body is not read and no answer comes; nothing accepted",
        "hang_after_accept": "accepted, and no answer comes",
        "slowloris": "accepted; the answer comes byte by byte",
        "late_ok": "accepted and answered, but late",
        "200_html": "a login page, as of a captive portal; nothing accepted",
        "200": "JSON; nothing accepted",
        "202": "nothing accepted",
        "204": "nothing accepted",
        "301": "to a place outside the API; nothing accepted",
        "307": "to a place outside the API; nothing accepted",
        "idle_close": "served properly, then the kept-alive connection ends unannounced",
        "stale_reset": "served properly, and the next request on the connection is met by a reset",
        "drop_in_queue": "201, and then lost in the queue",
        "duplicate_in_queue": "201, and then worked off twice by the queue",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """
    Which requests go wrong, and how.

    *path* is a pattern below the base path (``/customers/migrate*``, ``/auth/authorize``). Requests
    that match are counted from 1; *nth* picks some of them, none means all. Of those, *rate* is the
    share that goes wrong, and *times* the most that do (0 is no limit). Several *faults* take
    turns, or are drawn by the script's seed if *rate* is below 1. With *says*: only requests whose
    body holds this text, as a firewall has it.
    """

    faults: tuple[str, ...]
    path: str = "/customers/migrate*"
    method: str = "POST"
    nth: tuple[int, ...] = ()
    rate: float = 1.0
    times: int = 0
    says: str = ""

    def __post_init__(self) -> None:
        unknown = sorted(set(self.faults) - set(FAULTS))
        if unknown or not self.faults:
            message = f"fault script: unknown faults {unknown}" if unknown else "fault script: a rule names no fault"
            raise ValueError(f"{message}; known are {', '.join(FAULTS)}")
        if not 0 <= self.rate <= 1:
            raise ValueError("fault script: rate is a share, give a number from 0 to 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """
    The *rules* in the order in which they are asked, and the *seed* of those that leave something
    to chance.
    """

    rules: tuple[Rule, ...] = ()
    seed: int = 0

    @classmethod
    def from_json(cls, document: Any) -> Script:
        """
        Read ``{"seed": 7, "rules": [{"path": ..., "nth": [2], "faults": ["503"]}]}``; keys are the
        fields above.

        :raises ValueError: with a sentence that names what is not understood.
        """
        try:
            rules = tuple(Rule(**{key: _frozen(value) for key, value in rule.items()}) for rule in document["rules"])
            return cls(rules=rules, seed=int(document.get("seed", 0)))
        except (AttributeError, KeyError, TypeError) as problem:
            raise ValueError(
                f"fault script: not understood ({problem}); it is an object with seed and rules"
            ) from problem

    @classmethod
    def from_file(cls, path: Path) -> Script:
        """
        Read a script from a JSON file.

        :raises ValueError: with the file's name.
        """
        try:
            return cls.from_json(json.loads(path.read_text(encoding="utf-8")))
        except OSError as problem:
            raise ValueError(f"{path}: {problem.strerror}") from problem
        except ValueError as problem:
            raise ValueError(f"{path}: {problem}") from problem


@dataclass(slots=True)
class Director:
    """
    Follows a script: asked at each request, says which fault to play. Thread-safe; its counts start
    with the script.
    """

    script: Script
    _seen: dict[int, int] = field(default_factory=dict)
    _played: dict[int, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def follow(self, script: Script) -> None:
        """Start *script* from its beginning."""
        with self._lock:
            self.script = script
            self._seen.clear()
            self._played.clear()

    def fault_for(self, method: str, path: str, body: bytes | None = None) -> str:
        """
        The fault that this request plays, empty for none. The first rule that wants it has it.

        Before its *body* is read, only rules are asked that are not about what it says; then those
        that are.
        """
        with self._lock:
            chosen = ""
            for number, rule in enumerate(self.script.rules):
                if bool(rule.says) == (body is None) or (body is not None and rule.says.encode() not in body):
                    continue
                if rule.method == method and fnmatchcase(path, rule.path):
                    self._seen[number] = self._seen.get(number, 0) + 1
                    chosen = chosen or self._asked(number, rule)
            return chosen

    def _asked(self, number: int, rule: Rule) -> str:
        seen, played = self._seen[number], self._played.get(number, 0)
        if (rule.nth and seen not in rule.nth) or (rule.times and played >= rule.times):
            return ""
        # Drawn from the request's number, not from one stream: a rule before this one may come or
        # go without effect.
        chance = random.Random(f"{self.script.seed}/{number}/{seen}")  # noqa: S311 - a test's dice, not a secret
        if chance.random() >= rule.rate:
            return ""
        self._played[number] = played + 1
        return chance.choice(rule.faults) if rule.rate < 1 else rule.faults[played % len(rule.faults)]


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
