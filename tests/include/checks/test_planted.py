"""
Every kind of fault that is planted in the sample appears in the check, under its own code and
column, on the databases that can hold it.
"""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine

from masivo_engine.checks.check import check
from masivo_engine.checks.finding import Severity, as_lines
from masivo_engine.checks.questions import Bounds
from masivo_engine.mapping.loader import load
from masivo_engine.model.limits import Limits
from masivo_engine.model.reasons import REASONS
from masivo_engine.samples.planted import GOES
from masivo_engine.samples.retailer import build


# They go, and are said all the same.
ODDITIES = {"sold_in_clock_gap": "clock_gap", "sold_in_clock_fold": "clock_fold"}
UNHEARD = {"email_in_capitals"}  # the mapping cleans it


@pytest.fixture(scope="module", params=["sqlite", "postgres", "mariadb"])
def checked(request, tmp_path_factory):
    """What was planted in 70 members, and what the check says of them."""
    from tests import servers  # noqa: PLC0415

    if request.param == "sqlite":
        yield _checked(f"sqlite:///{tmp_path_factory.mktemp('planted') / 'legacy.sqlite'}")
        return
    with servers.fresh_database(request.getfixturevalue(f"{request.param}_server")) as url:
        yield _checked(url)


def _checked(url):
    engine = create_engine(url)
    try:
        planted = build.build(engine, customers=70)
        return planted, list(check(load("sample"), engine, limits=Limits(), bounds=Bounds(None, None)))
    finally:
        engine.dispose()


def test_every_planted_kind_is_found_under_its_own_code(checked):
    planted, findings = checked
    assert len(planted.kinds) >= 35
    for kind in planted.kinds.values():
        if kind.name in UNHEARD:
            continue
        code = ODDITIES.get(kind.name) or kind.reason
        said = [
            found
            for found in findings
            if (found.where, found.code) == (kind.entity, code) and (kind.column or "") in found.matter
        ]
        assert said, kind.name
        if kind.reason != GOES:
            assert all(found.severity is Severity.WARNING and found.do for found in said), kind.name
            alike = sum(
                other.rows
                for other in planted.kinds.values()
                if (other.entity, other.reason, other.column) == (kind.entity, kind.reason, kind.column)
            )
            assert sum(found.rows for found in said) == alike, kind.name


def test_nothing_blocks_and_no_value_of_a_person_is_shown(checked):
    _, findings = checked
    assert not [found for found in findings if found.severity is Severity.BLOCKER]
    assert not [line for line in as_lines(findings) if "@" in line]


def test_unknown_codes_are_shown_once_with_how_often(checked):
    planted, findings = checked
    payment = next(found for found in findings if found.code == "unknown_code" and "payment" in found.matter)
    assert f"('Q' x {planted.kinds['unknown_payment'].rows})" in payment.matter
    assert REASONS["unknown_code"].do == payment.do
