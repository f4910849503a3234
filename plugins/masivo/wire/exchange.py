"""
One request on the wire: sent once, watched, and told as it was.

What is known of it comes from `masivo.wire.deadline`: whether it left, its status, and when it has
to end.
"""

from __future__ import annotations

import http.client
import logging
import time

from requests import PreparedRequest, Response, Session
from urllib3.exceptions import HTTPError

from masivo.wire.deadline import RequestWatch
from masivo.wire.failures import failure_of
from masivo_engine.model.answers import Answer


_TEXT = 2_000  # characters of a body that an Answer keeps
_PIECE = 65_536

_log = logging.getLogger(__name__)

# Everything that the network, the server or its bytes can make requests, urllib3 and http.client
# raise.
_FAILURES = (OSError, HTTPError, http.client.HTTPException, ValueError)


def exchange(
    session: Session,
    request: PreparedRequest,
    *,
    connect_timeout_s: float,
    deadline_s: float,
    most_bytes: int,
    verify: str = "",
    spent_s: float = 0.0,
) -> tuple[Answer, bytes]:
    """
    Send *request* once and return what came back, with at most *most_bytes* of the body; never
    raises for the network.

    It ends after *deadline_s* seconds whatever the server does, of which *spent_s* are over when it
    begins. Only a name lookup and connects to several addresses of one host, during which nothing
    has left, may take longer.
    """
    started = time.monotonic()
    left_s = deadline_s - spent_s
    watch = RequestWatch(left_s)
    headers: dict[str, str] = {}
    body, failure = bytearray(), ""

    with watch:
        try:
            settings = session.merge_environment_settings(request.url, {}, True, verify or None, None)  # noqa: FBT003
            timeout = (min(connect_timeout_s, left_s), left_s)
            with session.send(request, timeout=timeout, allow_redirects=False, **settings) as response:
                headers = {name.lower(): value for name, value in response.headers.items()}
                _read_into(body, response, most_bytes)
        except _FAILURES as error:
            failure = failure_of(error, left=watch.left, was_cut=watch.is_over, deadline_s=deadline_s)
            _log.debug("%s: %s", type(error).__name__, failure)

    answer = Answer(
        status=watch.status,
        headers=headers,
        text=bytes(body[: 4 * _TEXT]).decode(errors="replace")[:_TEXT],
        failure=failure,
        left=watch.left,
        seconds=time.monotonic() - started,
    )
    return answer, bytes(body)


def _read_into(body: bytearray, response: Response, most_bytes: int) -> None:
    """
    Read to the end, so that the connection can be kept, or to *most_bytes*; what was read stays in
    *body*.
    """
    while len(body) < most_bytes:
        piece = response.raw.read1(min(_PIECE, most_bytes - len(body)), decode_content=True)
        if not piece:
            return
        body += piece
