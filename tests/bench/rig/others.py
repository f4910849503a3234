"""
The same work by other ways, as a program: ``others.py WAY LEGACY_URL SINK_URL ENTITY``. Prints what
`rig.measured` measures.

========  ==========================================================================================
hand      what people write first: read all, a pydantic model per row, ``requests.post(json=...)``
          with 1000 records
copy      the floor of reading: COPY the joined rows out of PostgreSQL, and throw them away
stream    the floor of reading in Python: the same rows as Python values, by a server-side cursor,
          and throw them away
post      the floor of sending: POST bytes that are ready
dlt       a dlt resource that yields Arrow tables, as its pyarrow backend does, into a custom
          destination that nests and posts
dlt-rows  the same with dlt's default, rows as dicts in JSON lines
drt       ``drt run`` of the project in ``drt_project/``: SQL that casts, a Jinja template per
          request, nothing validated
========  ==========================================================================================

Lists come as JSON made by PostgreSQL where a tool can take a row only as it is. None of them keeps
a ledger or resumes.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir, redirect_stdout
from decimal import Decimal
from functools import partial
from importlib import import_module
from io import StringIO
from itertools import groupby, islice
from pathlib import Path
from typing import Any


ROOT = Path(__file__).parents[3]
sys.path[:0] = [str(ROOT)]

from tests.bench.rig.measured import measured  # noqa: E402


PATHS = {"customers": "", "events": "/events", "transactions": "/transactions"}
LINES = """
(SELECT json_agg(json_build_object('sku', l.sku, 'amount', l.quantity, 'value', l.gross, 'discounted_value', l.gross - l.discount,
    'metadata', json_build_object('item_name', l.name)) ORDER BY l.line_no) FROM line l WHERE l.receipt_no = r.no)
"""
WHOLE = {
    "customers": (
        """
        SELECT m.no AS customer, m.name, m.email, m.gender, m.born, m.joined_at, m.balance, m.first_at FROM member m ORDER BY m.no"""
    ),
    "events": (
        f"""
        SELECT r.member_no AS customer, r.no, r.channel, r.shop_no, r.total, r.discounted, r.method, r.sold_at, {LINES}::text AS lines
        FROM receipt r ORDER BY r.member_no, r.no"""
    ),
    "transactions": (
        """
        SELECT p.member_no AS customer, p.no, p.points, p.booked_at FROM points p ORDER BY p.member_no, p.no"""
    ),
}
JOINED = {
    "customers": "SELECT * FROM member ORDER BY no",
    "events": "SELECT r.*, l.* FROM receipt r JOIN line l ON l.receipt_no = r.no ORDER BY r.member_no, r.no, l.line_no",
    "transactions": "SELECT * FROM points ORDER BY member_no, no",
}
TABLES = {"customers": "member", "events": "receipt", "transactions": "points"}
REWARD = "8f4d2b90-6c1e-4a7b-b3f5-2e9d7c0a1b01"


IMPORTED = {
    "hand": ("requests", "sqlalchemy", "psycopg", "masivo_engine.contract.tree"),
    "copy": ("psycopg",),
    "stream": ("sqlalchemy", "psycopg"),
    "post": ("requests",),
    "dlt": ("dlt", "pyarrow", "requests", "sqlalchemy", "psycopg"),
    "dlt-rows": ("dlt", "pyarrow", "requests", "sqlalchemy", "psycopg"),
    "drt": ("drt.cli.main", "sqlalchemy"),
}


def main() -> None:
    """Do it one way."""
    way, legacy_url, sink_url, entity = sys.argv[1:5]
    do: Callable[[str, str, str], int] = {
        "hand": _hand,
        "copy": _copy,
        "stream": _stream,
        "post": _post,
        "dlt": _dlt,
        "dlt-rows": partial(_dlt, backend="rows"),
        "drt": _drt,
    }[way]
    url = f"{sink_url}/api/storefront/v1/customers/migrate{PATHS[entity]}"
    for module in IMPORTED[way]:  # before the clock starts, as ours are
        import_module(module)
    with measured() as result:
        result["rows"] = do(legacy_url, url, entity)


def _hand(legacy_url: str, url: str, entity: str) -> int:
    import requests
    from sqlalchemy import create_engine, text

    from masivo_engine.contract.tree import MODELS
    from masivo_engine.model.rows import Entity

    model = MODELS[Entity(entity)]
    with create_engine(legacy_url).connect() as connection:
        rows = connection.execute(text(WHOLE[entity])).mappings().all()
    models = [(row["customer"], model(**_record(entity, row))) for row in rows]
    for batch in _thousands(models):
        body = [(customer, one.model_dump(mode="json", by_alias=True, exclude_unset=True)) for customer, one in batch]
        requests.post(
            url, json=_body(entity, body), headers={"Authorization": "Bearer a-token"}, timeout=60
        ).raise_for_status()
    return len(models)


def _copy(legacy_url: str, _url: str, entity: str) -> int:
    import psycopg

    with psycopg.connect(legacy_url.replace("+psycopg", "")) as connection, connection.cursor() as cursor:
        with cursor.copy(f"COPY ({JOINED[entity]}) TO STDOUT (FORMAT binary)") as copy:
            for _ in copy:
                pass
        return int(cursor.execute(f"SELECT count(*) FROM {TABLES[entity]}").fetchone()[0])


def _stream(legacy_url: str, _url: str, entity: str) -> int:
    from sqlalchemy import create_engine, text

    with create_engine(legacy_url).connect() as connection:
        for _ in connection.execution_options(stream_results=True).execute(text(JOINED[entity])).partitions(1000):
            pass
        return int(connection.execute(text(f"SELECT count(*) FROM {TABLES[entity]}")).scalar_one())


def _post(_legacy_url: str, url: str, entity: str) -> int:
    import requests

    record = {
        "customers": b'{"registration_date":1,"',
        "events": b'{"purchase_id":1,"',
        "transactions": b'{"issued_at":1,"',
    }
    size = {"customers": 480, "events": 500, "transactions": 220}[entity]
    body = b"[" + b",".join([record[entity] + b'x":"' + b"x" * (size - 26) + b'"}'] * 1000) + b"]"
    session, count = requests.Session(), int(sys.argv[5])
    for _ in range(count // 1000):
        session.post(url, data=body, headers={"Authorization": "Bearer a-token"}, timeout=60).raise_for_status()
    return count


def _dlt(legacy_url: str, url: str, entity: str, backend: str = "arrow") -> int:
    import dlt
    import requests
    from sqlalchemy import create_engine, text

    session, sent = requests.Session(), [0]

    @dlt.destination(
        batch_size=1000,
        loader_file_format="parquet" if backend == "arrow" else "typed-jsonl",
        naming_convention="direct",
        skip_dlt_columns_and_tables=True,
    )
    def masivo(items: Any, _table: Any) -> None:
        rows = items.to_pylist() if hasattr(items, "to_pylist") else items
        body = [(row["customer"], _record(entity, row)) for row in rows]
        session.post(url, json=_body(entity, json.loads(json.dumps(body, default=str))), timeout=60).raise_for_status()
        sent[0] += len(rows)

    @dlt.resource(name=entity)
    def source() -> Iterator[Any]:
        engine = create_engine(legacy_url)
        with engine.connect().execution_options(stream_results=True) as connection:
            result = connection.execute(text(WHOLE[entity]))
            names = list(result.keys())
            for part in result.partitions(50_000):
                if backend == "arrow":
                    import pyarrow as pa

                    yield pa.table(
                        {name: _column(values) for name, values in zip(names, zip(*part, strict=True), strict=True)}
                    )
                else:
                    yield [dict(row._mapping) for row in part]

    with tempfile.TemporaryDirectory(prefix="masivo-bench-") as folder:
        dlt.pipeline("bench", destination=masivo, pipelines_dir=folder, progress=None).run(source())
    return sent[0]


def _column(values: Sequence[Any]) -> Any:
    """
    Make a column of Arrow; decimals as wide as the shop's columns, as the backend has them from
    there.
    """
    import pyarrow as pa

    is_decimal = any(isinstance(value, Decimal) for value in values)
    return pa.array(values, pa.decimal128(12, 2) if is_decimal else None)


def _drt(legacy_url: str, url: str, entity: str) -> int:
    from drt.cli.main import app
    from sqlalchemy import make_url

    at, printed = make_url(legacy_url), StringIO()
    profile = {"type": "postgres", "host": at.host, "port": at.port or 5432, "dbname": at.database, "user": at.username}
    with tempfile.TemporaryDirectory(prefix="masivo-bench-") as folder, redirect_stdout(printed):
        profiles = Path(folder, ".drt", "profiles.yml")  # where drt looks for them: in the home
        profiles.parent.mkdir()
        profiles.write_text(json.dumps({"shop": profile | {"password_env": "BENCH_PASSWORD"}}))
        project = shutil.copytree(Path(__file__).parent / "drt_project", Path(folder, "project"))
        secrets = {"BENCH_PASSWORD": at.password or "", "BENCH_TOKEN": "a-token"}
        api = url.removesuffix(PATHS[entity])
        os.environ.update(secrets, HOME=folder, BENCH_API=api, DO_NOT_TRACK="1")
        with chdir(project):
            app(["run", "--select", entity, "--output", "json"], standalone_mode=False)
    (sync,) = json.loads(printed.getvalue())["syncs"]
    if sync["status"] != "success":
        raise SystemExit(f"drt run ended as {sync['status']}: {sync.get('error', 'see --verbose')}")
    return int(sync["rows_synced"])


def _thousands(rows: list[Any]) -> Iterator[list[Any]]:
    left = iter(rows)
    while some := list(islice(left, 1000)):
        yield some


def _body(entity: str, rows: list[tuple[str, Any]]) -> dict[str, Any]:
    if entity == "customers":
        return {"customers": [record for _, record in rows]}
    by_customer = groupby(rows, key=lambda row: row[0])
    return {"customers": [{"id": customer, entity: [record for _, record in some]} for customer, some in by_customer]}


def _record(entity: str, row: Any) -> dict[str, Any]:
    if entity == "events":
        order = {
            "purchase_id": row["no"],
            "value": float(row["total"]),
            "discounted_value": float(row["discounted"]),
            "payment_method": row["method"],
            "products": json.loads(row["lines"]),
        }
        at = _instant(row["sold_at"])
        event = {
            "type": "PURCHASE",
            "brand_id": "CN",
            "order": order,
            "fulfilled": True,
            "issued_at": at,
            "resolved_at": at,
        }
        return event | {"channel_id": row["channel"], "store_id": row["shop_no"]}
    if entity == "transactions":
        at = _instant(row["booked_at"])
        return {
            "brand_id": "CN",
            "reward_id": REWARD,
            "details": f"legacy:{row['no']}",
            "type": "ACCUMULATION",
            "amount": float(row["points"]),
            "issued_at": at,
            "resolved_at": at,
        }
    joined, amount = _instant(row["joined_at"]), float(row["balance"])
    balance = {"reward_id": REWARD, "amount": amount, "issued_at": _instant(row["first_at"]), "brand_id": "CN"}
    lifetime = {"from": joined, "to": joined, "spend_total": amount}
    return {
        "id": row["customer"],
        "name": row["name"],
        "email": row["email"],
        "gender": row["gender"],
        "dob": f"{row['born']}T00:00:00.000Z",
        "registration_date": joined,
        "metrics": {"lifetime": lifetime, "updated_at": joined},
        "status": "ACTIVE",
        "balance": [balance] if amount else [],
    }


def _instant(moment: Any) -> str:
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"  # dlt says that it is UTC


if __name__ == "__main__":
    main()
