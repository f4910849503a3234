"""
No false alarm: a sound shop gives notes alone, on every dialect.
"""

from __future__ import annotations

import pytest
from sqlalchemy import String, create_engine

from masivo_engine.checks.finding import Severity
from tests.databases.sound import SoundShop


@pytest.fixture
def engine(legacy_url):
    engine = create_engine(legacy_url)
    yield engine
    engine.dispose()


@pytest.mark.parametrize("keys", [None, String(40)], ids=["numbers", "text"])
def test_a_sound_shop_gives_no_warning(engine, tmp_path, keys):
    found = SoundShop(engine, tmp_path, keys=keys).check()
    assert [str(one) for one in found if one.severity is not Severity.NOTE] == []
    assert {one.where for one in found if one.code == "records"} == {"customers", "events", "transactions"}
    assert {one.where for one in found if one.code == "full_pass"} == {"customers", "events", "transactions"}
    assert [str(one) for one in found if one.code not in ("full_pass", "records", "lines_move_alone")] == []
