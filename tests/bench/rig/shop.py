"""
The seeded shop of the benches, made by PostgreSQL itself: customers with a balance, receipts with
lines, points.

Five events and five transactions a customer, distributed as purchases are: a few customers have
thousands, most have a handful. The same size gives the same rows, and every customer's transactions
sum to the balance.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import create_engine, text

from tests import servers


SMALL = 100_000
EVENTS = int(os.environ.get("MASIVO_BENCH_EVENTS", SMALL))
EVENTS_PER_CUSTOMER = 5

# Pseudo-random numbers in [0, 1) that are the same on every machine: a hash of the row's number and
# the column's.
_RANDOM = """
CREATE FUNCTION random_of(number bigint, salt bigint) RETURNS double precision IMMUTABLE PARALLEL SAFE LANGUAGE sql AS
$$ SELECT (hashint8extended(number, salt) & 2147483647)::double precision / 2147483648 $$
"""
_TABLES = (
    """
    CREATE TABLE receipt AS
    SELECT 'R' || lpad(n::text, 9, '0') AS no,
           'C' || lpad((1 + floor({customers} * random_of(n, 1) ^ 2))::bigint::text, 8, '0') AS member_no,
           'S' || (1 + floor(40 * random_of(n, 2)))::int AS shop_no,
           CASE WHEN random_of(n, 3) < 0.8 THEN 'store' ELSE 'web' END AS channel,
           (ARRAY['CREDIT', 'DEBIT', 'CASH'])[1 + floor(3 * random_of(n, 4))::int] AS method,
           timestamp '2023-01-01' + random_of(n, 5) * interval '1000 days' AS sold_at,
           1 + (mod(n, 7) < 4)::int + (mod(n, 11) = 0)::int AS line_count
    FROM generate_series(1, {events}) AS n
    """,
    """
    CREATE TABLE line AS
    SELECT r.no AS receipt_no,
           k AS line_no,
           'SKU-' || lpad(floor(20000 * random_of(hashtext(r.no) * 4::bigint + k, 6))::text, 6, '0') AS sku,
           (1 + floor(3 * random_of(hashtext(r.no) * 4::bigint + k, 7)))::numeric(10, 3) AS quantity,
           (0.5 + 99 * random_of(hashtext(r.no) * 4::bigint + k, 8))::numeric(10, 2) AS gross,
           CASE WHEN k = 1 THEN 0.10 ELSE 0 END::numeric(10, 2) AS discount,
           'Item number ' || k || ' of the catalogue' AS name
    FROM receipt r, generate_series(1, r.line_count) AS k
    """,
    """
    ALTER TABLE receipt ADD COLUMN total numeric(12, 2), ADD COLUMN discounted numeric(12, 2)
    """,
    """
    UPDATE receipt r SET total = s.total, discounted = s.discounted
    FROM (SELECT receipt_no, sum(gross) AS total, sum(gross - discount) AS discounted FROM line GROUP BY 1) s
    WHERE s.receipt_no = r.no
    """,
    """
    CREATE TABLE points AS
    SELECT 'T' || lpad(n::text, 9, '0') AS no,
           'C' || lpad((1 + floor({customers} * random_of(n, 11) ^ 1.7))::bigint::text, 8, '0') AS member_no,
           (1 + floor(500 * random_of(n, 12)))::numeric(12, 2) AS points,
           timestamp '2023-01-01' + random_of(n, 13) * interval '1000 days' AS booked_at
    FROM generate_series(1, {transactions}) AS n
    """,
    """
    CREATE TABLE member AS
    SELECT 'C' || lpad(n::text, 8, '0') AS no,
           'Customer number ' || n AS name,
           'customer' || n || '@example.invalid' AS email,
           CASE WHEN random_of(n, 21) < 0.5 THEN 'FEMALE' ELSE 'MALE' END AS gender,
           date '1950-01-01' + floor(20000 * random_of(n, 22))::int AS born,
           timestamp '2021-01-01' + random_of(n, 23) * interval '700 days' AS joined_at,
           coalesce(p.points, 0) AS balance,
           coalesce(p.first, timestamp '2023-01-01') AS first_at
    FROM generate_series(1, {customers}) AS n
    LEFT JOIN (SELECT member_no, sum(points) AS points, min(booked_at) AS first FROM points GROUP BY 1) p
           ON p.member_no = 'C' || lpad(n::text, 8, '0')
    """,
    "ALTER TABLE member ADD PRIMARY KEY (no)",
    "ALTER TABLE receipt ADD PRIMARY KEY (no)",
    "ALTER TABLE line ADD PRIMARY KEY (receipt_no, line_no)",
    "ALTER TABLE points ADD PRIMARY KEY (no)",
    "CREATE INDEX receipt_of_member ON receipt (member_no, no)",
    "CREATE INDEX points_of_member ON points (member_no, no)",
    "ANALYZE",
)


@contextmanager
def shop(events: int = EVENTS) -> Iterator[str]:
    """
    Yield the URL of a shop with *events*; it is dropped afterwards, unless ``MASIVO_BENCH_KEEP``
    says otherwise.
    """
    keeps = bool(os.environ.get("MASIVO_BENCH_KEEP"))
    name = f"masivo_bench_{events}"
    with servers._statements(servers.POSTGRES) as execute:
        is_there = execute(f"SELECT 1 FROM pg_database WHERE datname = '{name}'").first() is not None
        if is_there and not keeps:
            execute(f"DROP DATABASE {name} WITH (FORCE)")
        if not is_there or not keeps:
            execute(f"CREATE DATABASE {name}")
    url = servers.POSTGRES.set(database=name).render_as_string(hide_password=False)
    try:
        if not is_there or not keeps:
            _fill(url, events)
        yield url
    finally:
        if not keeps:
            with servers._statements(servers.POSTGRES) as execute:
                execute(f"DROP DATABASE {name} WITH (FORCE)")


def _fill(url: str, events: int) -> None:
    size = {"events": events, "transactions": events, "customers": max(1, events // EVENTS_PER_CUSTOMER)}
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(_RANDOM))
        for statement in _TABLES:
            connection.exec_driver_sql(statement.format(**size))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")  # or the first reader pays for it
    engine.dispose()
