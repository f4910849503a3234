"""What is written column by column is, byte for byte, what orjson writes of the objects."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from masivo_engine.records import json_text


_TEXTS = st.text(st.characters(codec="utf-8"), max_size=4)
_NUMBERS = st.one_of(
    st.integers(-(10**15), 10**15), st.floats(allow_nan=False, allow_infinity=False, min_value=-1e15, max_value=1e15)
)
_ANYTHING = st.recursive(
    st.one_of(_TEXTS, _NUMBERS, st.booleans()),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(_TEXTS, inner, max_size=2)),
    max_leaves=4,
)
_KINDS = [_TEXTS, _NUMBERS, st.booleans(), _ANYTHING, st.just("same"), st.just("100 %")]


@st.composite
def columns(draw):
    """Columns of a page by name, and how many rows it has; None is no value."""
    count = draw(st.integers(1, 4))
    names = draw(st.sets(st.one_of(st.sampled_from(["a", "b", "c%s", 'd"', "é"]), _TEXTS), max_size=4))
    filled = {}
    for name in names:
        kind = draw(st.sampled_from(_KINDS))
        value = draw(st.sampled_from([kind, st.one_of(st.none(), kind)]))
        filled[name] = draw(st.lists(value, min_size=count, max_size=count))
    return filled, count


def rows(filled, count):
    """The objects that *filled* says."""
    return [
        {name: values[position] for name, values in filled.items() if values[position] is not None}
        for position in range(count)
    ]


def as_json(value):
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


@given(page=columns(), inner=columns(), nullable=st.booleans())
@example(page=({"a": [0.1 + 0.2, 1e-7], "b": ["%s", "%"]}, 2), inner=({"z": [None, "x"]}, 2), nullable=True)
def test_objects_are_written_as_orjson_writes_them(page, inner, nullable):
    filled, count = page
    within, height = inner
    nested = [(rows(within, height) * count)[position] for position in range(count)]
    parts = {name: json_text.column(values) for name, values in filled.items()}
    repeated = {name: (values * count)[:count] for name, values in within.items()}
    parts["inside"] = json_text.an_object({name: json_text.column(values) for name, values in repeated.items()}, count)
    expected = rows(filled, count)
    for one, other in zip(expected, nested, strict=True):
        if other:
            one["inside"] = other
    if nullable:
        parts["null"] = json_text.column([None, *["there"] * (count - 1)]).or_else("null")
        for position, one in enumerate(expected):
            one["null"] = "there" if position else None

    written = json_text.an_object(parts, count)

    # An object that may have nothing in it is no object, which only the object around it can say.
    assert list(written.texts(count)) == [as_json(one) if one or written.is_always else "" for one in expected]


@pytest.mark.parametrize(("is_always", "without"), [(True, "[]"), (False, "")])
def test_a_list_without_elements_is_empty_or_no_list(is_always, without):
    written = json_text.lists(['{"a":1},{"a":2}', ""], is_always=is_always)
    assert list(written.texts(2)) == ['[{"a":1},{"a":2}]', without]


def test_what_is_the_same_in_every_row_is_written_once():
    written = json_text.an_object(
        {"brand": json_text.column(["50 %"] * 3), "key": json_text.column(["1", "2", "3"])}, 3
    )
    assert written.columns == [["1", "2", "3"]]
    assert list(written.texts(3)) == [f'{{"brand":"50 %","key":"{key}"}}' for key in (1, 2, 3)]
