"""Every reason that a row can be given is explained, and no other is."""

from __future__ import annotations

import ast
from pathlib import Path

from masivo_engine.model.reasons import REASONS


ENGINE = Path(__file__).parents[3] / "include" / "masivo_engine"
# Where a row is given its reason: the rooms between the source and the receipt.
ROOMS = (
    "source",
    "records",
    "triage",
    "batching",
    "delivery",
    "readback",
    "ledger",
    "planning",
    "mapping",
    "migrate.py",
    "model/judged.py",
)


def trees():
    for room in ROOMS:
        place = ENGINE / room
        for path in [place] if place.is_file() else place.rglob("*.py"):
            yield path, ast.parse(path.read_text())


def test_every_reason_is_given_somewhere():
    written = {
        node.value
        for _, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    named = {"sent_again", "not_shown"}  # constants beside the table itself
    assert set(REASONS) - written - named == set()


def test_every_rejection_and_verdict_has_a_reason_that_is_explained():
    """By position, as both are made: a rejection's fourth value and a verdict's second."""
    at = {"Rejection": 3, "Verdict": 1, "UnreadableRow": 2}
    unknown = set()
    for path, tree in trees():
        for call in ast.walk(tree):
            if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.func.id not in at:
                continue
            given = [call.args[at[call.func.id]]] if len(call.args) > at[call.func.id] else []
            given += [keyword.value for keyword in call.keywords if keyword.arg == "reason"]
            for value in given:
                if isinstance(value, ast.Constant) and value.value and value.value not in REASONS:
                    unknown.add((path.name, value.value))
    assert unknown == set()


def test_what_to_do_is_said_in_words():
    for reason in REASONS.values():
        assert reason.means, reason.code
        assert reason.do, reason.code
