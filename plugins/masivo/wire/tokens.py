"""
Bearer tokens: fetched with the API key, kept for the process, renewed before they expire.

``GET {base}/auth/authorize`` with ``x-api-key`` answers ``{"data": "<JWT of one hour>"}``; the
official sample renews it 5 minutes early (docs/api-facts.md#f-token). How long a token lives is
measured against the server's own ``Date``, and waited for on a monotonic clock: this machine's wall
clock may be wrong.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from airflow.sdk.log import mask_secret

from masivo.connections.api import ApiConnection, claims
from masivo.wire.failures import is_distrust
from masivo_engine.model.answers import Answer, retry_after_s
from masivo_engine.model.errors import MigrationError, Stopped, TryAgainLater


PATH = "/auth/authorize"

_EARLY_S = 300.0
_LIFE_S = 3600.0  # where a token does not say itself
_LATER = frozenset({408, 425, 429, 503})
_TOKEN = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class _Grant:
    token: str
    renew_at: float  # monotonic


# A task makes several hooks; each new token would cost a request of the general limiter (1,000 a
# day in Dev).
_grants: dict[str, _Grant] = {}
_lock = threading.Lock()


class NoToken(MigrationError):
    """
    No token was to be had: *remedy* is the error to raise where an error may be raised.

    *answer* is what it means for a batch that was to be sent: it did not leave.
    """

    def __init__(self, remedy: Stopped | TryAgainLater, answer: Answer) -> None:
        super().__init__(remedy, answer)
        self.remedy = remedy
        self.answer = answer

    def __str__(self) -> str:
        return str(self.remedy)


class Tokens:
    """
    The tokens of *target*; *ask* does the GET with the API key and returns the answer and its body.
    """

    def __init__(self, target: ApiConnection, ask: Callable[[], tuple[Answer, bytes]]) -> None:
        self._target = target
        self._ask = ask

    @property
    def at_hand(self) -> str:
        """
        The token that this process has, whether or not it is still good; empty where it has none.
        """
        grant = _grants.get(self._target.secret_digest)
        return self._target.token or (grant.token if grant else "")

    def current(self) -> str:
        """Return a token that is good for a while; raises `NoToken`."""
        if self._target.token:
            return self._static()
        with _lock:
            grant = _grants.get(self._target.secret_digest)
            if grant is None or time.monotonic() >= grant.renew_at:
                grant = _grants[self._target.secret_digest] = self._fetched()
            return grant.token

    def renewed(self, refused: str) -> str:
        """
        Return a token that was fetched after *refused*, which the API did not take; raises
        `NoToken`.
        """
        with _lock:
            grant = _grants.get(self._target.secret_digest)
            if grant is not None and grant.token == refused:
                del _grants[self._target.secret_digest]
        return self.current()

    def forget(self) -> None:
        """Make the next token a new one."""
        with _lock:
            _grants.pop(self._target.secret_digest, None)

    def _static(self) -> str:
        expiry = claims(self._target.token).get("exp")
        if isinstance(expiry, (int, float)) and expiry <= time.time():
            cure = "put a fresh one into extra `token`, or use an API key"
            raise _no_token(Stopped(f"the token of {self._target.called} has expired; {cure}"), Answer())
        mask_secret(self._target.token)
        return self._target.token

    def _fetched(self) -> _Grant:
        mask_secret(self._target.api_key)
        asked_at = time.monotonic()
        answer, body = self._ask()
        token = _token_in(answer, body)
        if not token:
            raise _no_token(refusal_of(self._target, answer), answer)
        mask_secret(token)
        life = _life_s(token, answer)
        return _Grant(token, asked_at + life - min(_EARLY_S, life / 2))


def _token_in(answer: Answer, body: bytes) -> str:
    if answer.status != HTTPStatus.OK or answer.failure:
        return ""
    try:
        said = json.loads(body)
    except ValueError:
        return ""
    token = said.get("data") if isinstance(said, dict) else None
    return token if isinstance(token, str) and _TOKEN.fullmatch(token) else ""


def _life_s(token: str, answer: Answer) -> float:
    """Seconds until *token* expires; at least one, because it was handed out just now."""
    expiry = claims(token).get("exp")
    if not isinstance(expiry, (int, float)) or isinstance(expiry, bool):
        return _LIFE_S
    try:
        now = parsedate_to_datetime(answer.headers.get("date", "")).timestamp()
    except (TypeError, ValueError):
        now = time.time()
    return max(expiry - now, 1.0)


def refusal_of(target: ApiConnection, answer: Answer) -> Stopped | TryAgainLater:
    """
    Say why *answer* is no way to begin: the sentence names the connection, what is wrong with it
    and what to do.
    """
    if answer.status == 0 and not is_distrust(answer.failure):
        return TryAgainLater(f"Masivo's API at {target.place} cannot be reached ({answer.failure})")
    if answer.status in _LATER or answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        sentence = f"Masivo's API at {target.place} does not work now (HTTP {answer.status})"
        return TryAgainLater(sentence, retry_after_s(answer, default=0.0))
    return Stopped(_sentence(target, answer))


def _sentence(target: ApiConnection, answer: Answer) -> str:
    place, called = target.place, target.called
    if answer.status == 0:
        cure = f"correct the host of {called}, or name your CA bundle in its extra `verify`"
        return f"Masivo's API at {place} cannot be reached ({answer.failure}): {cure}"
    if answer.is_page:
        return f"Masivo's API at {place} answers with a web page: the host or the path of {called} is wrong"
    if answer.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        if target.token:
            return f"Masivo refuses the token of {called} (HTTP {answer.status}): put a fresh one into extra `token`"
        cure = "copy it again from Masivo's Settings > Advanced Settings into the password"
        return f"Masivo refuses the API key of {called} (HTTP {answer.status}): {cure}"
    if HTTPStatus.MULTIPLE_CHOICES <= answer.status < HTTPStatus.BAD_REQUEST:
        cure = f"a key is not carried along, so put the final address into {called}"
        return f"Masivo's API at {place} redirects (HTTP {answer.status}): {cure}"
    if answer.status < HTTPStatus.MULTIPLE_CHOICES:
        return f"what answers at {place} is not Masivo's API (HTTP {answer.status}): correct the host of {called}"
    cure = f"the host or the path of {called} is wrong"
    return f"Masivo's API at {place} does not know what it is asked (HTTP {answer.status}): {cure}"


def _no_token(refusal: Stopped | TryAgainLater, answer: Answer) -> NoToken:
    """
    Translate *refusal* for a batch, which did not leave: an answer of its own, because nobody
    answered to the batch.
    """
    if isinstance(refusal, Stopped):
        # 403 whatever it was: a 401 would read as "renew the token", which is what just failed, a
        # 201 as "delivered".
        return NoToken(refusal, Answer(status=HTTPStatus.FORBIDDEN, text=str(refusal), left=False))
    # A status is kept where it says when to come back; a 500 would read as if the batch had been
    # sent.
    kept = replace(answer, left=False) if answer.status in _LATER else Answer(failure=str(refusal), left=False)
    return NoToken(refusal, kept)
