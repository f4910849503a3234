"""
The same work by other ways, as a program: ``others.py WAY LEGACY_URL SINK_URL ENTITY``. Prints what `rig.measured` measures.

======  ==========================================================================================================
hand    what people write first: read all, a pydantic model per row, ``requests.post(json=...)`` with 1000 records
copy    the floor of reading: COPY the joined rows out of PostgreSQL, and throw them away
post    the floor of sending: POST bytes that are ready
dlt     a dlt resource that yields Arrow tables, as its pyarrow backend does, into a custom destination that nests and posts
======  ==========================================================================================================

Lists come as JSON made by PostgreSQL where a tool can take a row only as it is. None of them keeps a ledger or resumes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
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
    "customers": """
        SELECT m.no AS customer, m.name, m.email, m.gender, m.born, m.joined_at, m.balance, m.first_at FROM member m ORDER BY m.no""",
    "events": f"""
        SELECT r.member_no AS customer, r.no, r.channel, r.shop_no, r.total, r.discounted, r.method, r.sold_at, {LINES}::text AS lines
        FROM receipt r ORDER BY r.member_no, r.no""",
    "transactions": """
        SELECT p.member_no AS customer, p.no, p.points, p.booked_at FROM points p ORDER BY p.member_no, p.no""",
}
JOINED = {
    "customers": "SELECT * FROM member ORDER BY no",
    "events": "SELECT r.*, l.* FROM receipt r JOIN line l ON l.receipt_no = r.no ORDER BY r.member_no, r.no, l.line_no",
    "transactions": "SELECT * FROM points ORDER BY member_no, no",
}
REWARD = "8f4d2b90-6c1e-4a7b-b3f5-2e9d7c0a1b01"


def main() -> None:
    """Do it one way."""
    way, legacy_url, sink_url, entity = sys.argv[1:5]
    do: Callable[[str, str, str], int] = {"hand": _hand, "copy": _copy, "post": _post, "dlt": _dlt}[way]
    url = f"{sink_url}/api/storefront/v1/customers/migrate{PATHS[entity]}"
    with measured() as result:
        result["rows"] = do(legacy_url, url, entity)


def _hand(legacy_url: str, url: str, entity: str) -> int:
    import requests
    from sqlalchemy import create_engine, text

    from include.contract.tree import MODELS
    from include.journey import Entity

    model = MODELS[Entity(entity)]
    with create_engine(legacy_url).connect() as connection:
        rows = connection.execute(text(WHOLE[entity])).mappings().all()
    models = [(row["customer"], model(**_record(entity, row))) for row in rows]
    for batch in _thousands(models):
        body = [(customer, one.model_dump(mode="json", exclude_unset=True)) for customer, one in batch]
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
        table = {"customers": "member", "events": "receipt", "transactions": "points"}[entity]
        return int(cursor.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


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


def _dlt(legacy_url: str, url: str, entity: str) -> int:
    import tempfile

    import dlt
    import requests
    from sqlalchemy import create_engine, text

    session, sent = requests.Session(), [0]

    @dlt.destination(
        batch_size=1000, loader_file_format="parquet", naming_convention="direct", skip_dlt_columns_and_tables=True
    )
    def masivo(items: Any, _table: Any) -> None:
        rows = items.to_pylist() if hasattr(items, "to_pylist") else items
        body = [(row["customer"], _record(entity, row)) for row in rows]
        session.post(url, json=_body(entity, json.loads(json.dumps(body, default=str))), timeout=60).raise_for_status()
        sent[0] += len(rows)

    @dlt.resource(name=entity)
    def source() -> Iterator[Any]:
        import pyarrow as pa

        engine = create_engine(legacy_url)
        with engine.connect().execution_options(stream_results=True) as connection:
            result = connection.execute(text(WHOLE[entity]))
            names = list(result.keys())
            for part in result.partitions(50_000):
                yield pa.table(dict(zip(names, map(list, zip(*part, strict=True)), strict=True)))

    with tempfile.TemporaryDirectory(prefix="masivo-bench-") as folder:
        dlt.pipeline("bench", destination=masivo, pipelines_dir=folder, progress=None).run(source())
    return sent[0]


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
    return moment.isoformat(timespec="milliseconds") + "Z"


if __name__ == "__main__":
    main()
