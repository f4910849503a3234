"""
The parameters: the form refuses what makes no sense by itself, and the rest is refused when it is read.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from airflow.sdk.definitions.param import ParamsDict
from airflow.sdk.exceptions import ParamValidationError
from masivo.parameters import Parameters, form

from include.errors import Misconfigured
from include.journey import Entity
from include.selection import Window


def filled(**conf):
    """The form as a run with *conf* has it."""
    params = ParamsDict(form())
    for name, value in conf.items():
        params[name] = value
    return {"params": params.validate()}


def test_an_empty_form_means_everything_up_to_now():
    read = Parameters.of(filled())
    assert read == Parameters(Window(), tuple(Entity), dry_run=False, tolerance=0)


def test_a_full_form_is_read():
    read = Parameters.of(
        filled(
            since="2026-01-01T00:00:00+02:00",
            until="2026-02-01T00:00:00Z",
            entities=["transactions", "customers"],
            customer_ids=[" 7", "8 "],
            dry_run=True,
            tolerance=5,
        )
    )
    window = Window(datetime(2025, 12, 31, 22, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC), ("7", "8"))
    # Parents first, whatever the order that was typed.
    assert read == Parameters(window, (Entity.CUSTOMERS, Entity.TRANSACTIONS), dry_run=True, tolerance=5)


@pytest.mark.parametrize("conf", [{"full": True}, {"customer_ids": None}, {"since": None, "until": None}])
def test_what_says_everything_in_other_words_means_it(conf):
    assert Parameters.of(filled(**conf)).window.is_everything


@pytest.mark.parametrize(
    "conf",
    [
        {"since": "yesterday"},
        {"until": 20260101},
        {"full": "maybe"},
        {"entities": []},
        {"entities": ["customer"]},
        {"entities": ["customers", "customers"]},
        {"customer_ids": "7"},
        {"customer_ids": [7]},
        {"dry_run": "no"},
        {"tolerance": -1},
        {"tolerance": "some"},
    ],
)
def test_the_form_refuses_what_makes_no_sense(conf):
    with pytest.raises(ParamValidationError):
        filled(**conf)


@pytest.mark.parametrize(
    ("conf", "sentence"),
    [
        ({"full": True, "customer_ids": ["7"]}, "full means everything"),
        ({"since": "2026-01-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, "must be before until"),
    ],
)
def test_contradictions_are_refused_in_a_sentence(conf, sentence):
    with pytest.raises(Misconfigured, match=sentence):
        Parameters.of(filled(**conf))


def test_every_parameter_explains_itself():
    for param in form().values():
        assert param.schema["title"]
        assert param.description.endswith(".")
