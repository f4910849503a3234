"""
Masivo's REST API, as Airflow's hooks see it: one connection, one session, answers instead of
exceptions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from http import HTTPStatus
from importlib import metadata
from typing import Any
from urllib.parse import quote, urlsplit

from airflow.providers.http.hooks.http import HttpHook
from requests import Request, Session
from requests.utils import get_environ_proxies, select_proxy

from masivo.connections.api import ApiConnection, target_of
from masivo.connections.databases import connection_named
from masivo.wire import exchange, tokens
from masivo.wire.deadline import WatchedSession
from masivo_engine.model.answers import Answer
from masivo_engine.model.errors import MigrationError
from masivo_engine.model.limits import Limits, Patience
from masivo_engine.model.rows import Entity


PATHS = {
    Entity.CUSTOMERS: "/customers/migrate",
    Entity.EVENTS: "/customers/migrate/events",
    Entity.TRANSACTIONS: "/customers/migrate/transactions",
}

_GET_DEADLINE_S = 60.0
_MOST_OF_A_RECEIPT = 64 * 1024
_MOST_OF_A_READING = 16 * 1024 * 1024
_UNREADABLE_IDS = ("", ".", "..")  # they vanish from a URL's path, so the answer would be about something else
_PROBE = "masivo-migration-test-of-the-connection"


@dataclass(frozen=True, slots=True)
class Reading:
    """What a GET brought: the *answer*, and its body as *json* (None where it is no whole JSON)."""

    answer: Answer
    json: Any = None


class MasivoHook(HttpHook):
    """
    Talk to Masivo's API: one kept-alive session per hook, one request per call, a total deadline
    for each.

    It builds on the HTTP provider's hook for its place in Airflow (connection, form, *Test*), and
    replaces what would lose points there: no time-out, redirects, extras that become headers, a
    test that is a POST.

    .. code-block:: python

        hook = MasivoHook()
        hook.authorize()  # raises where the address or the key is wrong, before anything is sent
        answer = hook.post(Entity.CUSTOMERS, batch.body)

    :param masivo_conn_id: the connection of type ``masivo``; `masivo.connections.api` lists its
        fields.
    :param http_conn_id: the same, under the name that users of the HTTP provider know.
    """

    conn_name_attr = "masivo_conn_id"
    default_conn_name = "masivo_api"
    conn_type = "masivo"
    hook_name = "Masivo"

    def __init__(self, masivo_conn_id: str = default_conn_name, *, http_conn_id: str | None = None) -> None:
        super().__init__(method="POST", http_conn_id=http_conn_id or masivo_conn_id, tcp_keep_alive=False)
        self.masivo_conn_id = http_conn_id or masivo_conn_id
        self._spent_s = 0.0  # on what came before it in one call

    @cached_property
    def target(self) -> ApiConnection:
        """The connection, read; raises `Misconfigured`."""
        return target_of(connection_named(self.masivo_conn_id))

    @property
    def limits(self) -> Limits:
        """What the account allows."""
        return self.target.limits

    @property
    def patience(self) -> Patience:
        """How long doubts about this account's requests are given to settle."""
        return self.target.patience

    @property
    def newer_fields(self) -> bool:
        """Whether the account's API knows the fields that are newer than the contract."""
        return self.target.newer_fields

    @property
    def fingerprint(self) -> str:
        """
        Which account this is; never anything of the key itself. Asks for a token where nothing else
        says it; raises as `authorize` does.
        """
        if not self.known_fingerprint:
            self.authorize()
        return self.known_fingerprint

    @property
    def known_fingerprint(self) -> str:
        """Which account this is, as far as it is known without a request; else empty."""
        return self.target.fingerprint(self._tokens.at_hand)

    def get_conn(
        self, headers: Mapping[str, Any] | None = None, extra_options: Mapping[str, Any] | None = None
    ) -> Session:
        """
        Return the session of this hook, always the same; headers and options are given per request,
        by us.
        """
        del headers, extra_options
        return self._session

    def authorize(self) -> None:
        """
        Make sure of a token; raises `Misconfigured`, `Stopped` or `TryAgainLater` with one
        sentence.
        """
        self._spent_s = 0.0
        try:
            self._tokens.current()
        except tokens.NoToken as none:
            raise none.remedy from None

    def post(self, entity: Entity, body: bytes) -> Answer:
        """
        POST *body*, the JSON of one batch, and return what came back; never raises for what the API
        or network does.

        One request, except that a 401 (not accepted, so safe) is followed by a new token and one
        more; the deadline holds for all of it. Where no token is to be had, the answer says so and
        ``left`` is false.
        """
        answer, _ = self._authorized(
            "POST", PATHS[entity], body, deadline_s=self.target.deadline_s, most_bytes=_MOST_OF_A_RECEIPT
        )
        return answer

    def get(self, path: str, params: Mapping[str, str | int] | None = None) -> Reading:
        """GET *path* below the base path; never raises for what the API or network does."""
        answer, body = self._authorized(
            "GET", path, params=params, deadline_s=_GET_DEADLINE_S, most_bytes=_MOST_OF_A_READING
        )
        try:
            return Reading(answer, None if answer.failure else json.loads(body))
        except ValueError:
            return Reading(answer)

    def get_customer(self, customer: str) -> Reading:
        """Read *customer* back by the legacy id; 404 where the API does not know it (yet)."""
        return self._get_below_customer(customer, "")

    def get_transactions(self, customer: str, *, year: int | None = None) -> Reading:
        """
        Read *customer*'s transactions back: of *year*, else of the last three months.

        The API knows years from 2020 on (docs/api-facts.md#f-reading).
        """
        return self._get_below_customer(customer, "/transactions", None if year is None else {"year": year})

    def test_connection(self) -> tuple[bool, str]:
        """
        Check address and key by a GET, for Airflow's *Test* button; a POST would migrate something.
        """
        try:
            # The button tests under a random id, which would only puzzle in a sentence.
            probe = MasivoHook(self.masivo_conn_id)
            probe.target = replace(self.target, called="this connection")
            probe.prove()
        except MigrationError as error:
            return False, str(error)
        secret = "token" if self.target.token else "API key"
        pace = f"1 request per {self.limits.interval_s:g} s, at most {self.limits.per_hour:,} an hour"
        return True, f"Masivo's API at {self.target.place} accepts the {secret}; {pace}"

    def is_answered(self) -> bool:
        """
        Whether the API, and nothing before it, answers this key at this address: asked for a
        customer that cannot exist. What refuses a request then refuses what is in it.
        """
        reading = self.get_customer(_PROBE)
        found = (HTTPStatus.OK, HTTPStatus.NOT_FOUND)
        return reading.answer.status in found and not reading.answer.is_page and isinstance(reading.json, dict)

    def prove(self) -> None:
        """
        Make sure that the API takes the key or token now, whatever it took before; raises as
        `authorize` does.
        """
        self._tokens.forget()
        self.authorize()
        if self.target.token:
            self._prove_static_token()

    def run(self, *_: Any, **__: Any) -> Any:
        """
        Not offered: the provider's way knows no deadline, and its retries would send a batch twice.
        """
        raise NotImplementedError("use post, get, get_customer or get_transactions: run can send a batch twice")

    # By itself it would call run, and repeat the refusal for ever.
    run_with_advanced_retry = run

    def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        if "_session" in self.__dict__:
            self._session.close()

    @cached_property
    def _session(self) -> Session:
        session = WatchedSession()
        session.trust_env = not self.target.is_loopback
        proxies = get_environ_proxies(self.target.base_url) if session.trust_env else {}
        proxy = urlsplit(select_proxy(self.target.base_url, proxies) or "")
        # Workers may differ in their environment; without this line nobody sees why one of them
        # fails.
        through = f"through the proxy {proxy.hostname}:{proxy.port}" if proxy.hostname else "directly"
        self.log.info("Masivo's API is %s (%s), reached %s", self.target.base_url, self.target.called, through)
        return session

    @cached_property
    def _tokens(self) -> tokens.Tokens:
        return tokens.Tokens(self.target, self._ask_for_token)

    def _ask_for_token(self) -> tuple[Answer, bytes]:
        headers = {"x-api-key": self.target.api_key}
        return self._exchange(
            "GET", tokens.PATH, headers=headers, deadline_s=_GET_DEADLINE_S, most_bytes=_MOST_OF_A_RECEIPT
        )

    def _authorized(self, method: str, path: str, body: bytes | None = None, **options: Any) -> tuple[Answer, bytes]:
        """
        Do one exchange with a token, and one more if the API says that it does not take that one.
        """
        # One deadline for all of it: who sent a batch must know when the last of it can have left.
        self._spent_s = 0.0
        try:
            token = self._tokens.current()
            answered = self._exchange(method, path, body, headers={"Authorization": f"Bearer {token}"}, **options)
            if answered[0].status != HTTPStatus.UNAUTHORIZED or self.target.token:
                return answered
            newer = self._tokens.renewed(token)
            return self._exchange(method, path, body, headers={"Authorization": f"Bearer {newer}"}, **options)
        except tokens.NoToken as none:
            return none.answer, b""

    def _exchange(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        headers: dict[str, str],
        params: Mapping[str, str | int] | None = None,
        deadline_s: float,
        most_bytes: int,
    ) -> tuple[Answer, bytes]:
        if deadline_s <= self._spent_s:
            return Answer(failure=f"no time was left for it within {deadline_s:g} s", left=False), b""
        # Prepared without the session, so that neither a .netrc nor a cookie can change what is
        # sent.
        request = Request(
            method,
            self.target.base_url + path,
            data=body,
            params=dict(params or {}),
            headers={**_standing_headers(has_body=body is not None), **headers},
        ).prepare()
        answered = exchange.exchange(
            self._session,
            request,
            connect_timeout_s=self.target.connect_timeout_s,
            deadline_s=deadline_s,
            most_bytes=most_bytes,
            verify=self.target.verify,
            spent_s=self._spent_s,
        )
        self._spent_s += answered[0].seconds
        return answered

    def _get_below_customer(self, customer: str, rest: str, params: Mapping[str, int] | None = None) -> Reading:
        if customer in _UNREADABLE_IDS:
            return Reading(Answer(failure="a customer with this id cannot be asked for by URL", left=False))
        return self.get(f"/customers/{quote(customer, safe='')}{rest}", params)

    def _prove_static_token(self) -> None:
        """A customer that cannot exist: 404 proves address and token as well as 200 does."""
        answer = self.get_customer(_PROBE).answer
        if answer.is_page or answer.status not in (HTTPStatus.OK, HTTPStatus.NOT_FOUND):
            raise tokens.refusal_of(self.target, answer)


def _standing_headers(*, has_body: bool) -> dict[str, str]:
    # An answer of the API is at most a sentence: compressing it saves nothing and is one more thing
    # to break.
    headers = {"User-Agent": _user_agent(), "Accept": "application/json", "Accept-Encoding": "identity"}
    return {**headers, "Content-Type": "application/json"} if has_body else headers


@cache
def _user_agent() -> str:
    try:
        return f"masivo-migration/{metadata.version('masivo-migration')}"
    except metadata.PackageNotFoundError:
        return "masivo-migration/unreleased"
