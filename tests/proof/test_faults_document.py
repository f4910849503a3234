"""
The table of faults: complete, and every test that it names exists.
"""

from __future__ import annotations

import re
from pathlib import Path


ROOT = Path(__file__).parents[2]
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "docs" / "faults.md").read_text().splitlines()
    if re.match(r"\| \d", line)
]


def test_every_fault_of_the_catalogue_has_a_row_and_those_after_it_have_too():
    numbers = [int(row[0]) for row in ROWS]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) > 67


def test_every_test_that_a_row_names_exists_and_nearly_all_have_one():
    named = [re.fullmatch(r"`(.+)::(test_\w+)`", row[3]) for row in ROWS]
    for found in filter(None, named):
        assert f"def {found[2]}(" in (ROOT / found[1]).read_text(), found[0]
    assert sum(found is not None for found in named) >= len(ROWS) - 7


def test_a_row_without_a_test_says_why():
    for row in ROWS:
        if not row[3].startswith("`"):
            assert re.match(r"(no test|cannot be played here): \w{2}", row[3]), row
