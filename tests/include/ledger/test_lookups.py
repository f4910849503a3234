"""
What is asked of the ledger again and again, for each page and each batch, is looked up and never
read through.

A database without statistics may take any index that fits, also one by run or entity that answers
with every row of a load so far; then a load takes the time of its square.
"""

from __future__ import annotations

import re
from collections import Counter

import pytest
from sqlalchemy import event

from masivo_engine.ledger.runs.asked import ask_open, plan_asked
from masivo_engine.ledger.runs.tallies import freeze
from masivo_engine.model.limits import Limits
from masivo_engine.model.rows import Entity
from masivo_engine.planning.replay import Chosen, release
from tests.databases.sample import sample_shop
from tests.whole_migration import UNLIMITED, journey


# The indexes, as SQLite tells of them, whose answers do not grow with the load: by place, by key,
# by customer, by address, by batch.
_LOOKS_UP = re.compile(
    r"\((entity=\? AND (place|key|customer|home=\? AND place)=\?"
    r"|(email|has_email|out_email|has_customer|out_customer|out_batch|has_batch)=\?)"
)
# Those of what is open, of what a run asks for, and of what it has seen.
_IS_OPEN = re.compile(r"masivo_record_(open|asked|in_run|gone|out)\b")
RECORDS = 25


@pytest.fixture
def shop_url(tmp_path):
    return f"sqlite:///{sample_shop(tmp_path, customers=120)[0]}"


def test_no_question_of_a_page_or_a_batch_reads_a_whole_load(shop_url, tmp_path):
    asked: Counter[str] = Counter()
    plans: dict[str, list[str]] = {}

    def explain(connection, _cursor, statement, parameters, _context, executemany):
        if not executemany and "masivo_record" in statement and not statement.startswith(("INSERT", "EXPLAIN")):
            asked[statement] += 1
            if statement not in plans:
                cursor = connection.connection.cursor()
                plans[statement] = [row[3] for row in cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]

    extra = {**UNLIMITED, "records": RECORDS, "customers": RECORDS}
    with journey(shop_url, f"sqlite:///{tmp_path / 'ledger.sqlite'}", extra=extra) as trip:
        run = trip.begin("run")
        event.listen(trip.place.ledger_engine, "before_cursor_execute", explain)
        for entity in Entity:
            for part in trip.slices(run, entity):
                asked.clear()
                trip.work_off(run, part)
                for statement, times in asked.items():
                    steps = [step for step in plans[statement] if "masivo_record" in step and "VIRTUAL" not in step]
                    assert times == 1 or all(map(_LOOKS_UP.search, steps)), (entity, times, statement, steps)
        assert len(plans) > 5
        assert len(trip.posts()) > 20


def test_a_run_that_finds_little_open_reads_no_table_to_find_it(shop_url, tmp_path):
    steps: list[str] = []

    def explain(connection, _cursor, statement, parameters, _context, executemany):
        if not executemany and "masivo_record" in statement and not statement.startswith(("INSERT", "EXPLAIN")):
            cursor = connection.connection.cursor()
            steps.extend(row[3] for row in cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters))

    with journey(shop_url, f"sqlite:///{tmp_path / 'ledger.sqlite'}", extra=UNLIMITED) as trip:
        trip.migrate("first load")
        run = trip.begin("increment")
        event.listen(trip.place.ledger_engine, "before_cursor_execute", explain)
        for entity in Entity:
            ask_open(trip.place.ledger, run.number, entity)
            plan_asked(trip.place.ledger, run.number, entity, most=50)
        release(trip.place.ledger, run, Chosen(tuple(Entity), reasons=("refused",)), Limits(), by="a test")
        freeze(trip.place.ledger, run.number)
    read = [step for step in steps if "masivo_record" in step]
    assert len(read) > 10
    assert [step for step in read if not _IS_OPEN.search(step)] == []
