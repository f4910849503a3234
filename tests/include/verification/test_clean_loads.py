"""
No false alarm: what arrived as it was sent is confirmed, or stays delivered because the API shows
too little, and never differs.
"""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine

from masivo_engine.samples.complete_journey import load
from masivo_engine.verification.differences import Bucket
from tests.databases.sample import sample_shop
from tests.databases.verification import Shop
from tests.whole_migration import journey


pytestmark = pytest.mark.slow


@pytest.mark.journey
def test_real_purchases_are_found_as_they_were_sent(tmp_path):
    url = f"sqlite:///{tmp_path / 'legacy.sqlite'}"
    engine = create_engine(url)
    loaded = load.load(engine, households=120)
    engine.dispose()
    with journey(url, f"sqlite:///{tmp_path / 'ledger.sqlite'}", mapping="complete_journey") as trip:
        assert trip.migrate("first").adds_up
        on = Shop(trip)
        made = on.verify()
        assert (made.wrong, made.unread, on.findings()) == (0, 0, [])
        kinds = [entity for entity, _ in on.states("confirmed")]
        assert kinds.count("customers") == 120
        assert kinds.count("events") == loaded.baskets
        # They are of 2017, and the API shows none from before 2020.
        assert {entity for entity, _ in on.states("delivered")} == {"transactions"}
        assert made.not_shown == {"transactions": len(on.states("delivered"))}
        assert on.choose()[0].all == 0, "nobody is read again for what cannot be shown"
        assert trip.account().adds_up


def test_the_sample_with_all_its_dirt_is_found_as_it_was_sent(tmp_path):
    legacy, _ = sample_shop(tmp_path, customers=150)
    with journey(f"sqlite:///{legacy}", f"sqlite:///{tmp_path / 'ledger.sqlite'}", mapping="sample") as trip:
        assert trip.migrate("first").adds_up
        on = Shop(trip)
        made = on.verify()
        assert [found for found in on.findings() if found[2] != Bucket.METRICS] == []
        assert made.wrong == made.unread == 0
        assert not [key for entity, key in on.states("delivered") if entity == "customers"]
        assert trip.account().adds_up
