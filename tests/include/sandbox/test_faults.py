"""
The script of faults: which request plays what.
"""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masivo_engine.sandbox.faults.faults import FAULTS, Director, Rule, Script


def played(script: Script, *, count: int, method: str = "POST", path: str = "/customers/migrate/events") -> list[str]:
    director = Director(script)
    return [director.fault_for(method, path) for _ in range(count)]


def test_the_nth_matching_request_plays_its_fault():
    script = Script(rules=(Rule(faults=("503", "500"), nth=(2, 4)),))
    assert played(script, count=5) == ["", "503", "", "500", ""]


def test_a_rule_ends_after_so_many_times():
    assert played(Script(rules=(Rule(faults=("503",), times=2),)), count=4) == ["503", "503", "", ""]


def test_a_rule_sees_only_its_path_and_method():
    script = Script(rules=(Rule(faults=("401",), path="/auth/authorize", method="GET"),))
    assert played(script, count=1) == [""]
    assert played(script, count=1, method="GET", path="/auth/authorize") == ["401"]


def test_the_first_rule_that_wants_a_request_has_it_and_the_others_count_it():
    script = Script(rules=(Rule(faults=("503",), nth=(1,)), Rule(faults=("429",), nth=(1, 2))))
    assert played(script, count=2) == ["503", "429"]


@given(seed=st.integers(0, 2**32), rate=st.floats(0, 1))
def test_chance_is_the_same_for_the_same_seed(seed, rate):
    script = Script(rules=(Rule(faults=tuple(FAULTS), rate=rate),), seed=seed)
    assert played(script, count=20) == played(script, count=20)


def test_chance_keeps_its_rate():
    script = Script(rules=(Rule(faults=("500", "502"), rate=0.25),), seed=3)
    found = played(script, count=2000)
    assert 400 < sum(map(bool, found)) < 600
    assert {"500", "502"} == set(found) - {""}


def test_a_new_script_starts_from_its_beginning():
    director = Director(Script(rules=(Rule(faults=("503",), nth=(1,)),)))
    assert director.fault_for("POST", "/customers/migrate") == "503"
    director.follow(Script(rules=(Rule(faults=("500",), nth=(1,)),)))
    assert director.fault_for("POST", "/customers/migrate") == "500"


def test_a_script_is_read_from_json(tmp_path):
    path = tmp_path / "script.json"
    path.write_text(json.dumps({"seed": 7, "rules": [{"path": "/customers/migrate", "nth": [2], "faults": ["503_s"]}]}))
    assert Script.from_file(path) == Script(
        seed=7, rules=(Rule(path="/customers/migrate", nth=(2,), faults=("503_s",)),)
    )


@pytest.mark.parametrize(
    "document",
    [
        None,
        {"rules": [{}]},
        {"rules": [{"faults": ["500"], "when": 3}]},
        {"rules": [{"faults": ["500"], "rate": 2}]},
        {"seed": "x", "rules": []},
    ],
)
def test_a_script_that_makes_no_sense_is_a_sentence(document):
    with pytest.raises(ValueError, match=r"fault script|invalid literal"):
        Script.from_json(document)
