"""
Plays the faults (`faults.FAULTS`) on a connection, after the journal has noted what was accepted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from email.utils import formatdate

from masivo_engine.sandbox.options import Options
from masivo_engine.sandbox.wire.wire import JSON, TEXT, Reply, Wire


BEFORE_THE_BODY = frozenset({"413_early", "rst_before", "hang_before"})
FATES = {"drop_in_queue": "drop", "duplicate_in_queue": "duplicate"}

_PAGE = "<title>Sign in</title><h1>Sign in</h1><p>Please sign in to continue.</p>"
_GATEWAY = "<title>Bad gateway</title><h1>The server behind this gateway did not answer.</h1>"
_FIREWALL = "<title>Request blocked</title><h1>Request blocked</h1><p>Your request was blocked by a rule.</p>"
_TOO_LARGE = "<title>413 Request Entity Too Large</title><h1>413 Request Entity Too Large</h1>"
_BROKEN = "upstream connect error or disconnect/reset before headers. reset reason: connection termination"
_CUT_OFF = b'{"data": '
_SPOILT_GZIP = b"\x1f\x8b\x08\x00this is not gzip"
_HUGE = "x" * 200_000
_HOUR_S = 3600.0
_DAY_S = 86400.0


def is_instead(fault: str) -> bool:
    """Whether *fault* comes instead of the API's work, so that nothing is accepted."""
    return fault in _CANNED or fault in _RETRY_AFTER or fault in {"garbage", *BEFORE_THE_BODY}


def play_instead(fault: str, wire: Wire, options: Options, path: str) -> int:
    """
    Play *fault* without the API having done anything; the status that was answered, 0 for none.
    """
    if fault == "rst_before":
        wire.reset()
        return 0
    if fault == "hang_before":
        wire.pause(options.real_s(options.hang_s))
        wire.reset()
        return 0
    if fault == "garbage":
        wire.send(b"\x16\x03\x01\x02\x00 these bytes are no HTTP\r\n\r\n")
        wire.end()
        return 0
    reply = _canned(fault, wire, options, path)
    wire.answer(reply)
    if fault in BEFORE_THE_BODY:
        wire.end()
    return reply.status


def play_after(fault: str, wire: Wire, options: Options, reply: Reply) -> None:
    """Play *fault* now that the API has done its work, of which *reply* would be the answer."""
    play = _AFTER.get(fault)
    if play is None:
        wire.answer(reply)
    else:
        play(wire, options, reply)


def status_after(fault: str, reply: Reply) -> int:
    """
    The status that *fault* lets through of *reply*, 0 for none; known before it is played, for the
    journal.
    """
    if fault in {"rst_after_accept", "close_after_accept", "hang_after_accept"}:
        return 0
    return int(fault[:3]) if fault.endswith("_but_accepted") else reply.status


def _canned(fault: str, wire: Wire, options: Options, path: str) -> Reply:
    if fault in _RETRY_AFTER:
        status = int(fault[:3])
        reply = Reply.problem(status, "Too Many Requests" if status == 429 else "Service Unavailable", "Slow down")
        return reply.with_headers(("Retry-After", _RETRY_AFTER[fault](wire, options)))
    reply = _CANNED[fault]
    if reply.status in {301, 307}:
        return reply.with_headers(("Location", f"/elsewhere{path}"))
    return reply


def _asked_s(options: Options, seconds: float) -> str:
    real_s = options.real_s(seconds)
    return str(math.ceil(real_s)) if options.speed == 1 else f"{real_s:.3f}"


_RETRY_AFTER: dict[str, Callable[[Wire, Options], str]] = {
    "429_s": lambda _, options: _asked_s(options, options.retry_after_s),
    "503_s": lambda _, options: _asked_s(options, options.retry_after_s),
    # A date has whole seconds; rounded up, so that obeying it is enough.
    "429_date": lambda wire, options: formatdate(
        math.ceil(wire.now() + options.real_s(options.retry_after_s)), usegmt=True
    ),
    "429_past": lambda wire, _: formatdate(wire.now() - _HOUR_S, usegmt=True),
    "429_neg": lambda _wire, _options: "-5",
    "429_bad": lambda _wire, _options: "soon",
    "429_huge": lambda _, options: _asked_s(options, _DAY_S),
}

_CANNED: dict[str, Reply] = {
    "200": Reply.of({"data": {}}),
    "200_html": Reply.page(_PAGE),
    "202": Reply(202),
    "204": Reply(204),
    "301": Reply(301),
    "307": Reply(307),
    "400": Reply.problem(400, "Bad Request", "Bad request"),
    "401": Reply.problem(401, "Unauthorized", "Invalid or expired token"),
    "403": Reply.problem(403, "Forbidden", "Not allowed"),
    "403_page": Reply.page(_FIREWALL, 403),
    "406_page": Reply.page(_FIREWALL, 406),
    "404": Reply.problem(404, "Not Found", "No such resource"),
    "413": Reply.problem(413, "Payload Too Large", "Request body is too large"),
    "413_page": Reply.page(_TOO_LARGE, 413),
    "413_text": Reply(413, (TEXT,), b"request body too large"),
    "413_early": Reply.problem(413, "Payload Too Large", "Request body is too large"),
    "422_opaque": Reply.problem(422, "Unprocessable Entity", "Invalid customer entry"),
    "422_html": Reply.page(_PAGE, 422),
    "422_angle": Reply(422, (TEXT,), b"<Pack> is no name that a product may have"),
    "422_empty": Reply(422),
    "429": Reply.problem(429, "Too Many Requests", "Slow down"),
    "500": Reply.problem(500, "Internal Server Error", "Something went wrong"),
    "502": Reply.page(_GATEWAY, 502),
    "503": Reply.problem(503, "Service Unavailable", "Try again later"),
}


def _reset(wire: Wire, _options: Options, _reply: Reply) -> None:
    wire.reset()


def _close(wire: Wire, _options: Options, _reply: Reply) -> None:
    wire.end()


def _hang(wire: Wire, options: Options, _reply: Reply) -> None:
    wire.pause(options.real_s(options.hang_s))
    wire.reset()


def _truncate(wire: Wire, _options: Options, reply: Reply) -> None:
    cut = reply.with_headers(JSON)
    wire.send(wire.encoded(Reply(cut.status, cut.headers, _CUT_OFF), length=len(_CUT_OFF) + 100))
    wire.end()


def _spoil_gzip(wire: Wire, _options: Options, reply: Reply) -> None:
    wire.answer(Reply(reply.status, (*reply.headers, JSON, ("Content-Encoding", "gzip")), _SPOILT_GZIP))


def _drip(wire: Wire, options: Options, reply: Reply) -> None:
    for byte in wire.encoded(reply):
        wire.send(bytes((byte,)))
        if not wire.pause(options.real_s(options.drip_s)):
            break


def _end_unannounced(wire: Wire, _options: Options, reply: Reply) -> None:
    wire.answer(reply)
    wire.end()


def _reset_next(wire: Wire, _options: Options, reply: Reply) -> None:
    wire.answer(reply)
    wire.resets_next = True


_AFTER: dict[str, Callable[[Wire, Options, Reply], None]] = {
    "408_but_accepted": lambda wire, _options, _reply: wire.answer(Reply(408, (TEXT,), b"request timeout")),
    "503_but_accepted": lambda wire, _options, _reply: wire.answer(Reply(503, (TEXT,), _BROKEN.encode())),
    "500_but_accepted": lambda wire, _options, _reply: wire.answer(_CANNED["500"]),
    "504_but_accepted": lambda wire, _options, _reply: wire.answer(Reply.page(_GATEWAY, 504)),
    "rst_after_accept": _reset,
    "close_after_accept": _close,
    "truncated": _truncate,
    "201_fewer": lambda wire, _options, reply: wire.answer(Reply.of({"data": {"rejected": 1}}, reply.status)),
    "bad_gzip": _spoil_gzip,
    "huge_header": lambda wire, _options, reply: wire.answer(reply.with_headers(("X-Padding", _HUGE))),
    "ok_html_body": lambda wire, _options, reply: wire.answer(Reply.page(_PAGE, reply.status)),
    "hang_after_accept": _hang,
    "slowloris": _drip,
    "idle_close": _end_unannounced,
    "stale_reset": _reset_next,
}
