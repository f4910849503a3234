"""
A request under way, watched: what `requests` does not tell, and points depend on.

* **Whether it left.** A failure counts as *not left* only if not one byte of the request was given
  to a socket. This is observed at the socket, not concluded from an exception:
  `requests.ConnectionError` is the same before and after. Name lookup, connect (refused,
  unreachable, timed out), a proxy's CONNECT, the TLS handshake and the check of the certificate all
  come before the first byte, so each is provably safe to repeat; everything later is not.
* **Its status, once the status line was read**, whatever happens to the rest of the answer.
* **When it ends.** The time-outs of sockets are per read, so a server that drips a byte at a time
  is never cut by them (61 s past a time-out of 1 s). A watchdog shuts
  the socket down at the deadline.

Nothing is ever repeated, redirected or answered from a cache below this module.
"""

from __future__ import annotations

import http.client
import logging
import os
import socket
import threading
import time
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Self

from requests import Response, Session
from requests.adapters import HTTPAdapter
from requests.exceptions import InvalidProxyURL
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.response import HTTPResponse


_REUSE_S = 30.0  # how long a connection may idle where the server names no time
_REUSE_MARGIN_S = 1.0  # a connection that the server is about to close is not worth a batch in doubt

_log = logging.getLogger(__name__)


class WatchedSession(Session):
    """
    A session that keeps its connections, repeats nothing and follows no redirect, whoever uses it.
    """

    def __init__(self) -> None:
        super().__init__()
        adapter = _WatchedAdapter(max_retries=0, pool_connections=1, pool_maxsize=2)
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    def get_redirect_target(self, resp: Response) -> str | None:  # noqa: ARG002  # the name is requests' own
        """No redirect is followed: it would carry the key or a batch to another address."""
        return None


class RequestWatch:
    """
    What is known of the request under way, and the watchdog that ends it.

    The watchdog holds a duplicate of the socket's descriptor: `shutdown` acts on the socket behind
    it, so it works in the middle of a TLS handshake and after `http.client` has let go of its own
    reference.
    """

    def __init__(self, deadline_s: float) -> None:
        self.left = False
        self.status = 0
        self.was_cut = False
        self._until = time.monotonic() + deadline_s
        self._lock = threading.Lock()
        self._lifeline: socket.socket | None = None
        self._watchdog = threading.Timer(deadline_s, self._cut)
        self._watchdog.daemon = True

    def __enter__(self) -> Self:
        self._outer = _UNDER_WAY.set(self)
        self._watchdog.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._watchdog.cancel()
        self._drop_lifeline()
        _UNDER_WAY.reset(self._outer)

    @property
    def is_over(self) -> bool:
        """
        Whether the deadline has passed: a socket's own time-out may notice it before a late
        watchdog does.
        """
        return self.was_cut or time.monotonic() >= self._until

    def hold(self, sock: socket.socket) -> None:
        """Watch *sock* from now on, instead of the one before."""
        self._drop_lifeline()
        with self._lock:
            if self.was_cut:
                raise TimeoutError
            self._lifeline = socket.socket(fileno=os.dup(sock.fileno()))

    def leave(self, sock: socket.socket) -> None:
        """
        The request is about to go out on *sock*: give it the time that remains, or refuse if there
        is none.
        """
        if self._lifeline is None:  # a kept connection; a new one is held since it was made
            self.hold(sock)
        with self._lock:
            if self.was_cut:
                raise TimeoutError
            self.left = True
        # urllib3 sends under the connect time-out, which would cut a large body on a slow line.
        sock.settimeout(max(self._until - time.monotonic(), 0.001))

    def _cut(self) -> None:
        with self._lock:
            self.was_cut = True
            if self._lifeline is not None:
                try:
                    self._lifeline.shutdown(socket.SHUT_RDWR)
                except OSError:
                    _log.debug("the connection was gone before its deadline")

    def _drop_lifeline(self) -> None:
        with self._lock:
            if self._lifeline is not None:
                self._lifeline.close()
                self._lifeline = None


_UNDER_WAY: ContextVar[RequestWatch | None] = ContextVar("masivo_request_under_way", default=None)


class _CutHeaders(logging.Filter):
    """
    Keeps back urllib3's warning about headers that it could not parse: a page of traceback with the
    URL, which names a customer.

    Only for our own requests: what the status line said counts, and what became of the rest is in
    the `Answer`.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        return _UNDER_WAY.get() is None or not str(record.msg).startswith("Failed to parse headers")


logging.getLogger("urllib3.connection").addFilter(_CutHeaders())


class _WatchedResponse(http.client.HTTPResponse):
    """Tells the watch the status as soon as it was read: the headers after it may never come."""

    def begin(self) -> None:
        try:
            super().begin()
        finally:
            watch = _UNDER_WAY.get()
            # Whatever answers before the request has left, as a proxy does to CONNECT, does not
            # answer the request.
            if watch is not None and watch.left and isinstance(self.status, int):
                watch.status = self.status


class _WatchedConnection(HTTPConnection):
    """Tells the watch about its socket, and when the first byte of a request goes out."""

    response_class = _WatchedResponse
    _is_connecting = False
    _reuse_until = 0.0

    @property
    def is_connected(self) -> bool:
        """
        Whether the pool may use it again: open, and not idle for so long that the server may be
        closing it.
        """
        return time.monotonic() < self._reuse_until and super().is_connected

    def connect(self) -> None:
        self._is_connecting = True
        try:
            super().connect()
        finally:
            self._is_connecting = False

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        watch = _UNDER_WAY.get()
        if watch is not None and not watch.left and not self._is_connecting:
            watch.leave(self.sock)
        super().send(data)

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as urllib3 does it
        response = super().getresponse()
        self._reuse_until = time.monotonic() + _reuse_s(response.headers.get("keep-alive", ""))
        return response

    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn()
        watch = _UNDER_WAY.get()
        try:
            if watch is not None:
                watch.hold(sock)
        except TimeoutError:
            sock.close()
            raise
        return sock


class _WatchedTlsConnection(_WatchedConnection, HTTPSConnection):
    """The same over TLS; the handshake is part of connecting."""


class _WatchedPool(HTTPConnectionPool):
    ConnectionCls = _WatchedConnection


class _WatchedTlsPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedTlsConnection


class _WatchedAdapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _WatchedPool, "https": _WatchedTlsPool}

    def proxy_manager_for(self, proxy: str, **proxy_kwargs: Any) -> Any:
        if proxy.lower().startswith("socks"):  # it would bring connections that nobody watches
            raise InvalidProxyURL("SOCKS proxies are not supported; name an HTTP proxy")
        manager = super().proxy_manager_for(proxy, **proxy_kwargs)
        manager.pool_classes_by_scheme = {"http": _WatchedPool, "https": _WatchedTlsPool}
        return manager


def _reuse_s(keep_alive: str) -> float:
    """
    Seconds that a connection may idle and be used again, from ``Keep-Alive: timeout=5``.

    Node.js closes after 5 s by default, which is the API's own pace: without this, requests and
    closes would race.
    """
    for part in keep_alive.split(","):
        name, _, value = part.strip().partition("=")
        if name.lower() == "timeout" and value.strip().isdecimal():
            return max(float(value) - _REUSE_MARGIN_S, 0.0)
    return _REUSE_S
