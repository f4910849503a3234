"""
Each rule of the engine is broken once, and the tests that keep it must fail.

The tests are those of the suite, a few for each rule. Where a rule is broken and none of them
fails, a test is missing.
"""

from __future__ import annotations

import pytest

from tests.proof.rules import RULES, Broken
from tests.proof.selections import Selection, Told, run_all


pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def nothing() -> None:
    """Break nothing."""


@pytest.fixture(scope="module")
def told() -> list[Told]:
    """What the tests said of the engine as it is, and then of each rule that is broken."""
    whole = Selection(nothing, sorted({test for rule in RULES for test in rule.tests}))
    return run_all([whole, *(Selection(Broken(number), rule.tests) for number, rule in enumerate(RULES))])


def test_every_test_that_is_to_find_something_passes_with_the_engine_as_it_is(told):
    assert told[0].has_passed, told[0]


@pytest.mark.parametrize("number", range(len(RULES)), ids=[rule.holds for rule in RULES])
def test_a_rule_that_is_broken_is_found(told, number):
    assert told[1 + number].has_found, told[1 + number]
