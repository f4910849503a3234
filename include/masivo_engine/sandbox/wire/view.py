"""
A window into the sandbox, outside the API: a small page for people, JSON for tests. Read-only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from html import escape
from itertools import islice
from typing import Any

from masivo_engine.sandbox.api.api import BASE, Api
from masivo_engine.sandbox.api.contract import Entity
from masivo_engine.sandbox.state import holdings
from masivo_engine.sandbox.state.journal import Line, read
from masivo_engine.sandbox.wire.wire import Reply


_PAGE_OF_RECORDS = 1000
_DOCUMENTS = ("counts", *(str(entity) for entity in Entity), "failures", "requests")
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;width:100%;margin:1rem 0}"
    "th,td{text-align:left;padding:.25rem .75rem;border-bottom:1px solid #ddd}td.n,th.n{text-align:right}"
)


def document(api: Api, name: str, query: Mapping[str, str]) -> Reply:
    """
    ``/view/<name>``.

    ``counts.json``; ``customers.json``, ``events.json`` and ``transactions.json``, narrowed by
    ``key``, ``customer`` and ``account``; ``failures.json``; ``requests.json``. The lists come in
    pages: ``limit`` (1000) and ``offset`` (0).
    """
    try:
        limit, offset = int(query.get("limit", _PAGE_OF_RECORDS)), int(query.get("offset", 0))
    except ValueError:
        return Reply.problem(400, "Bad Request", "limit and offset are whole numbers")
    api.backlog.settle_due()
    what = name.removesuffix(".json")
    if what == "counts":
        waiting = holdings.waiting(api.store)
        return Reply.of({"entities": holdings.counts(api.store), "requests_in_queue": waiting})
    if what == "failures":
        return Reply.of(holdings.failures(api.store, limit=limit, offset=offset))
    if what == "requests":
        lines = islice(read(api.journal.path), offset, offset + limit)
        return Reply.of([asdict(line) for line in lines])
    if what in _DOCUMENTS:
        narrowed = {field: query.get(field, "") for field in ("account", "customer", "key")}
        found = holdings.accepted(api.store, Entity(what), limit=limit, offset=offset, **narrowed)
        return Reply.of([asdict(record) for record in found])
    return Reply.problem(404, "Not Found", f"There is {', '.join(f'{known}.json' for known in _DOCUMENTS)}")


def page(api: Api) -> Reply:
    """``/view``: what it holds, what waits, what happened last."""
    api.backlog.settle_due()
    counts = holdings.counts(api.store)
    heads = tuple(next(iter(counts.values())))
    rows = [(entity, *numbers.values()) for entity, numbers in counts.items()]
    links = " · ".join(f'<a href="/view/{name}.json">{name}.json</a>' for name in _DOCUMENTS)
    text = (
        f"<title>Masivo sandbox</title><style>{_STYLE}</style><h1>Masivo sandbox</h1>"
        f"<p>The API is at <code>{BASE}</code>. {holdings.waiting(api.store)} requests wait in the queue.</p>"
        + _table(("entity", *(head.replace("_", " ") for head in heads)), rows)
        + "<h2>Last requests</h2>"
        + _table(
            ("#", "request", "status", "verdict", "records", "accepted", "bytes", "fault"),
            [_request_row(line) for line in reversed(api.journal.recent)],
        )
        + f"<p>{links}</p>"
    )
    return Reply.page(text)


def _request_row(line: Line) -> tuple[Any, ...]:
    request = f"{line.method} {line.path}"
    status = line.status or "none"
    return line.sequence, request, status, line.verdict, line.records, len(line.accepted), line.size, line.fault


def _table(heads: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    body = "".join(f"<tr>{''.join(_cell(value) for value in row)}</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _cell(value: Any) -> str:
    return f'<td class="n">{value:,}</td>' if isinstance(value, int) else f"<td>{escape(str(value))}</td>"
