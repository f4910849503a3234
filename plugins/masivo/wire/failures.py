"""
Why a request got no whole answer, in a few words without any payload.
"""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterator

from requests.exceptions import InvalidProxyURL
from urllib3 import exceptions
from urllib3.util.ssl_match_hostname import CertificateError


_DISTRUST = "its certificate cannot be trusted"

# First match wins; sought through the whole chain of an exception, because requests wraps urllib3
# wraps http.client.
_BEFORE_IT_LEFT: tuple[tuple[type[BaseException], str], ...] = (
    (InvalidProxyURL, "the proxy's URL is not usable (SOCKS is not supported)"),
    (exceptions.ProxyError, "the proxy cannot be reached, or does not let us through"),
    (exceptions.NameResolutionError, "name lookup failed"),
    (ssl.SSLCertVerificationError, _DISTRUST),
    (CertificateError, _DISTRUST),
    (ssl.SSLError, "the TLS handshake failed"),
    (exceptions.SSLError, "the TLS handshake failed"),
    (ConnectionRefusedError, "connection refused"),
    (exceptions.ConnectTimeoutError, "connecting timed out"),
    (TimeoutError, "connecting timed out"),
    (exceptions.NewConnectionError, "no connection"),
    (ConnectionError, "the connection broke while it was made"),
)
_AFTER_IT_LEFT: tuple[tuple[type[BaseException], str], ...] = (
    (exceptions.ReadTimeoutError, "no answer in time"),
    (http.client.RemoteDisconnected, "closed without an answer"),
    (ConnectionResetError, "connection reset before the answer"),
    (BrokenPipeError, "closed while the request was being sent"),
    (http.client.BadStatusLine, "what came back is no HTTP answer"),
    (TimeoutError, "no answer in time"),
    (ssl.SSLError, "the TLS connection broke"),
    (exceptions.DecodeError, "the answer cannot be decoded"),
    (exceptions.IncompleteRead, "the answer was cut"),
    (http.client.IncompleteRead, "the answer was cut"),
    (http.client.HTTPException, "the answer is no valid HTTP"),
    (exceptions.InvalidHeader, "the answer is no valid HTTP"),
)


def failure_of(error: BaseException, *, left: bool, was_cut: bool, deadline_s: float) -> str:
    """
    Say what *error* means for a request that has *left* or not, and *was_cut* at its deadline or
    not.
    """
    if was_cut:
        return f"{'no whole answer' if left else 'not connected'} within {deadline_s:g} s"
    chain = tuple(_chain(error))
    for kind, words in _AFTER_IT_LEFT if left else _BEFORE_IT_LEFT:
        for link in chain:
            if isinstance(link, kind):
                return words + _detail(link)
    return f"{'the connection broke' if left else 'it could not be sent'} ({type(error).__name__})"


def is_distrust(failure: str) -> bool:
    """Whether *failure* is a certificate that was not accepted: no second try will change that."""
    return failure.startswith(_DISTRUST)


def _detail(link: BaseException) -> str:
    """The library's own words, where they can hold nothing but the state of the machine."""
    if isinstance(link, ssl.SSLCertVerificationError):
        return f": {link.verify_message}"
    is_plain = isinstance(link, exceptions.NewConnectionError) and not isinstance(link, exceptions.NameResolutionError)
    if is_plain and isinstance(link.__cause__, OSError) and link.__cause__.strerror:
        return f": {link.__cause__.strerror}"
    return ""


def _chain(error: BaseException) -> Iterator[BaseException]:
    """
    Every exception behind *error*: causes, contexts, and those that urllib3 and requests keep as
    arguments.
    """
    waiting: list[object] = [error]
    seen: set[int] = set()
    while waiting:
        link = waiting.pop(0)
        if isinstance(link, BaseException) and id(link) not in seen:
            seen.add(id(link))
            yield link
            waiting += [link.__cause__, getattr(link, "reason", None), *link.args, link.__context__]
