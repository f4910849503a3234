"""Each field of a customer is compared with what the API shows, or is named as not compared."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from masivo_engine.contract.fields import Kind
from masivo_engine.contract.tree import tree
from masivo_engine.model.rows import Entity
from masivo_engine.readback.shown import Shown
from masivo_engine.verification.customers import NOT_COMPARED, of_fields
from masivo_engine.verification.expected import Expected


FIELDS = tree(Entity.CUSTOMERS).children


@pytest.mark.parametrize("name", sorted(FIELDS.keys() - NOT_COMPARED))
def test_a_field_that_is_shown_otherwise_is_found(name):
    is_date = FIELDS[name].kind in {Kind.INSTANT, Kind.DAY}
    sent, other = ("2024-01-02T00:00:00.000Z", "2021-07-09T00:00:00.000Z") if is_date else ("one", "another")
    owed = Expected("C1", account=SimpleNamespace(key="C1", body={name: sent}))
    assert not list(of_fields(owed, Shown({name: sent}, {}, [])))
    (found,) = of_fields(owed, Shown({name: other}, {}, []))
    assert found.entity is Entity.CUSTOMERS


def test_what_is_not_compared_is_a_field_of_the_contract():
    assert FIELDS.keys() >= NOT_COMPARED
