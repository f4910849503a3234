"""
Where values come from, read off SQL as people write it.
"""

from __future__ import annotations

import pytest

from masivo_engine.mapping.aliases import Query
from masivo_engine.mapping.lineage import column_behind, expressions, tables, words_of
from masivo_engine.model.rows import Entity


def query(sql):
    return Query(Entity.EVENTS, "", sql, "events.sql")


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT a AS x, b.c AS y FROM t b", {"x": "a", "y": "b.c"}),
        ("SELECT a x, b FROM t", {"x": "a", "b": "b"}),
        ("SELECT DISTINCT m.no, m.name FROM m", {"no": "m.no", "name": "m.name"}),
        (
            "SELECT COALESCE(a, ',') AS x, -- a remark, with a comma\n 1 AS y FROM t",
            {"x": "COALESCE(a, ',')", "y": "1"},
        ),
        ('SELECT "A" AS "Order__Value" FROM t', {"order__value": '"A"'}),
        ("WITH w AS (SELECT q AS hidden FROM z) SELECT w.q AS x FROM w", {"x": "w.q"}),
        ("SELECT (SELECT max(a) FROM u) AS x FROM t", {"x": "(SELECT max(a) FROM u)"}),
        ("SELECT CASE WHEN a = 'from' THEN 1 END AS x FROM t", {"x": "CASE WHEN a = 'from' THEN 1 END"}),
        ("SELECT * FROM t", {}),
    ],
)
def test_the_expression_behind_each_alias(sql, expected):
    found = expressions(query(sql))
    assert {alias: found.get(alias) for alias in expected} == expected
    assert "hidden" not in found


def test_tables_are_known_by_every_name_that_they_have():
    assert tables(
        query("SELECT 1 FROM shop.sale AS s LEFT JOIN `line` l ON 1 = 1 JOIN payment ON 1 = 1 WHERE 1 = 1")
    ) == {
        "sale": "sale",
        "s": "sale",
        "line": "line",
        "l": "line",
        "payment": "payment",
    }


@pytest.mark.parametrize(
    ("alias", "expected"), [("x", ("sale", "no")), ("y", None), ("z", None), ("w", ("line", "sku"))]
)
def test_only_a_plain_column_has_a_table(alias, expected):
    sql = "SELECT s.no AS x, s.no + 1 AS y, 5 AS z, l.sku AS w FROM sale s JOIN line l ON l.sale = s.no"
    assert column_behind(query(sql), alias) == expected


def test_words_are_those_of_the_sql_and_not_of_its_texts():
    words = words_of(query("SELECT s.no AS x, 'deleted' AS y -- archived\nFROM sale s WHERE s.active = 1"))
    assert "active" in words
    assert not words & {"deleted", "archived"}
