"""
The connection to Masivo's API, read: where it is, with what key, how fast, how patiently.

This is the only reader of that connection. Every extra is read by its name; none ever becomes a
header.

=======================  ===========================================================================
field of the connection  meaning
=======================  ===========================================================================
host, port, schema       host name or whole URL; `schema` is http or https (default); path:
                         /api/storefront/v1
password                 the API key, from which one-hour tokens are fetched
extra ``token``          instead of the key: a bearer token that somebody else renews
extra ``account``        ``dev`` (250 requests an hour) or ``prod`` (1000);
                         docs/api-facts.md#f-limits
extra, limits            the fields of `Limits`, by their names; they win over ``account``
extra ``account_id``     your name for the account, by which the ledger knows it (with the address)
extra, others            ``base_path``, ``newer_fields``, ``deadline_s``, ``connect_timeout_s``,
                         ``verify``
=======================  ===========================================================================
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import jwt
from airflow.sdk import Connection

from masivo.connections.extras import Extras
from masivo_engine.delivery.sender import latest_arrival_s
from masivo_engine.model.errors import Misconfigured
from masivo_engine.model.limits import Limits, Patience


BASE_PATH = "/api/storefront/v1"  # docs/api-facts.md#f-events, `servers`

_PER_HOUR = {"dev": 250, "prod": 1000}  # docs/api-facts.md#f-limits
_MOST_RECORDS = 1000  # the API's own cap; docs/api-facts.md#f-events and docs/api-facts.md#f-caps
_DEFAULT_PORTS = {"http": 80, "https": 443}
_HEADER_SAFE = re.compile(r"[\x21-\x7e]+")
# What a token says of itself, of where it is good and of what for: another one tomorrow, or the
# same for every account.
_NO_IDENTITY = frozenset(
    {"iat", "exp", "nbf", "jti", "auth_time", "nonce", "sid", "iss", "aud", "typ", "scope", "scopes", "token_use"}
)


@dataclass(frozen=True, slots=True)
class ApiConnection:
    """
    One account at one address. *called* is how messages name the connection; secrets stay out of
    ``repr``.

    *deadline_s* is the total time of one POST, a token that is renewed within it included, *verify*
    the path of a CA bundle or empty for the machine's own.
    """

    called: str
    base_url: str
    api_key: str = field(repr=False)
    token: str = field(repr=False)
    limits: Limits
    patience: Patience = field(default_factory=Patience)
    newer_fields: bool = False
    deadline_s: float = 120.0
    connect_timeout_s: float = 10.0
    verify: str = ""
    account_id: str = ""

    @property
    def place(self) -> str:
        """Host and port, for messages."""
        parts = urlsplit(self.base_url)
        return f"{parts.hostname}:{parts.port or _DEFAULT_PORTS[parts.scheme]}"

    @property
    def is_loopback(self) -> bool:
        """Whether it is this machine, which no proxy can reach for us."""
        host = urlsplit(self.base_url).hostname or ""
        if host == "localhost" or host.endswith(".localhost"):
            return True
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False

    def fingerprint(self, token: str = "") -> str:
        """
        Which account this is, as 16 hexadecimal digits; the ledger is tied to it. Empty where that
        cannot be said without a *token*.

        The address and *account_id*, or without one what a token, static or handed out for the key,
        says of the account: never the key or the token itself, which are changed. Two addresses are
        two accounts, because a sandbox may have the name of the real one. Raises `Misconfigured`
        where the token says nothing.
        """
        if self.account_id:
            return _digest(self.base_url, "account", self.account_id)
        shown = self.token or token
        if not shown:
            return ""
        lasting = {name: value for name, value in claims(shown).items() if name not in _NO_IDENTITY}
        if not lasting:
            raise Misconfigured(
                f"nothing says which account {self.called} is about, because its token does not: add your name for the"
                " account as extra `account_id`, by which the ledger knows it also after the key was changed; nothing"
                " was sent"
            )
        return _digest(self.base_url, "token", json.dumps(lasting, sort_keys=True))

    @property
    def secret_digest(self) -> str:
        """Which key at which address: unlike the fingerprint, it changes with the key."""
        return _digest(self.base_url, "secret", self.api_key or self.token)


def target_of(connection: Connection) -> ApiConnection:
    """
    Read *connection*; raises `Misconfigured` with a sentence that names the field and what to do.
    """
    called = f"connection {connection.conn_id!r}"
    extras = Extras(called, connection.extra)
    api_key, token = _secret(called, "API key", connection.password), _secret(called, "token", extras.text("token"))
    if not api_key and not token:
        raise Misconfigured(f"{called} has no API key; put it into the password (or a bearer token into extra `token`)")
    if api_key and token:
        raise Misconfigured(f"{called} has an API key and a static token; remove the password or extra `token`")

    target = ApiConnection(
        called=called,
        base_url=_base_url(called, connection, extras),
        api_key=api_key,
        token=token,
        limits=_limits(extras),
        patience=_patience(extras),
        newer_fields=extras.flag("newer_fields", default=False),
        deadline_s=extras.seconds("deadline_s", 120.0, above=0.0),
        connect_timeout_s=extras.seconds("connect_timeout_s", 10.0, above=0.0),
        verify=_verify(called, extras),
        account_id=extras.text("account_id"),
    )
    _refuse_impatience(target)
    extras.warn_of_unread()
    return target


def claims(token: str) -> dict[str, Any]:
    """
    Return what a JWT says about itself, unverified; nothing where it is no JWT. It is the API's job
    to verify.
    """
    try:
        return jwt.decode(token, options={"verify_signature": False})
    except jwt.InvalidTokenError:
        return {}


def _secret(called: str, what: str, value: str | None) -> str:
    secret = (value or "").strip()
    if secret and not _HEADER_SAFE.fullmatch(secret):
        raise Misconfigured(f"the {what} of {called} holds spaces, line breaks or other characters; copy it again")
    return secret


def _base_url(called: str, connection: Connection, extras: Extras) -> str:
    host, schema = (connection.host or "").strip(), (connection.schema or "https").strip().lower()
    if not host:
        raise Misconfigured(f"{called} has no host; Masivo's is app.masivo.ai")
    if "://" not in host:
        is_bare_ipv6 = host.count(":") > 1 and not host.startswith("[")
        host = f"{schema}://[{host}]" if is_bare_ipv6 else f"{schema}://{host}"
    try:
        parts = urlsplit(host)
        port = parts.port or connection.port
    except ValueError:
        raise Misconfigured(f"the host of {called} is no address; give a host name or a URL") from None
    _check_address(called, parts)

    address = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    where = f"{parts.scheme}://{address}" + (f":{port}" if port and port != _DEFAULT_PORTS[parts.scheme] else "")
    path = extras.text("base_path") or parts.path.rstrip("/") or BASE_PATH
    return f"{where}/{path.strip('/')}".rstrip("/")


def _check_address(called: str, parts: SplitResult) -> None:
    if parts.scheme not in _DEFAULT_PORTS:
        raise Misconfigured(f"{called} speaks neither http nor https; leave its schema empty for https")
    if not parts.hostname:
        raise Misconfigured(f"the host of {called} is no address; give a host name or a URL")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise Misconfigured(f"the host of {called} holds more than an address; the API key belongs into the password")


def _limits(extras: Extras) -> Limits:
    standard = Limits()
    account = extras.one_of("account", tuple(_PER_HOUR))
    if account:
        standard = replace(standard, per_hour=_PER_HOUR[account])
    return Limits(
        slice_s=extras.seconds("slice_s", standard.slice_s, above=0.0),
        lease_s=extras.seconds("lease_s", standard.lease_s, above=0.0),
        records=extras.count("records", standard.records, most=_MOST_RECORDS),
        customers=extras.count("customers", standard.customers, most=_MOST_RECORDS),
        body_bytes=extras.count("body_bytes", standard.body_bytes),
        interval_s=extras.seconds("interval_s", standard.interval_s),
        margin_s=extras.seconds("margin_s", standard.margin_s),
        per_hour=extras.count("per_hour", standard.per_hour),
        slice_requests=extras.count("slice_requests", standard.slice_requests),
        isolation_per_hour=extras.count("isolation_per_hour", standard.isolation_per_hour),
    )


def _patience(extras: Extras) -> Patience:
    standard = Patience()
    return Patience(
        settle_after_s=extras.seconds("settle_after_s", standard.settle_after_s),
        certain_after_s=extras.seconds("certain_after_s", standard.certain_after_s),
        reads=extras.count("settle_reads", standard.reads),
    )


def _refuse_impatience(target: ApiConnection) -> None:
    """
    Refuse settings by which a read-back would believe to know what became of a request that may
    still be on its way.

    Not of the sandbox, which is all that there is on this machine: its points are nobody's, and it
    may be played with in a hurry.
    """
    patience, arrival_s = target.patience, latest_arrival_s(target.deadline_s)
    if target.is_loopback:
        return
    if patience.settle_after_s < arrival_s:
        raise Misconfigured(
            f"extra `settle_after_s` of {target.called} is {patience.settle_after_s:g}, but with `deadline_s`"
            f" {target.deadline_s:g} a request may reach the API up to {arrival_s:g} s after it was written down, and"
            f" must not be taken for lost before: give at least {arrival_s:g}, or a shorter `deadline_s`"
        )
    if patience.certain_after_s < patience.settle_after_s:
        raise Misconfigured(
            f"extra `certain_after_s` of {target.called} is {patience.certain_after_s:g}, less than `settle_after_s`, "
            f"{patience.settle_after_s:g}: what is not there yet would be taken for lost; give at least as much"
        )


def _verify(called: str, extras: Extras) -> str:
    asked = extras.text_or_flag("verify")
    if asked is True or asked == "":
        return ""
    if asked is False:
        raise Misconfigured(
            f"{called} turns `verify` off, but certificates are always verified; name a CA bundle in it"
        )
    if not Path(asked).exists():
        raise Misconfigured(f"the CA bundle of {called} (extra `verify`) does not exist: {asked}")
    return asked


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
