"""
An increment after a large load: it reads the overlap and what changed since, and sends what
changed.
"""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import create_engine, insert

from masivo_engine.model.rows import Entity
from masivo_engine.model.runs import Asked, RunKind
from tests.databases import proof
from tests.whole_migration import journey


pytestmark = pytest.mark.slow


CUSTOMERS = 100_000
RECENT = 40  # changed within the last minutes, so that the overlap has something to find again


@pytest.fixture
def mapping(tmp_path):
    folder = tmp_path / "mapping"
    shutil.copytree(proof.MAPPING, folder)
    with (folder / "mapping.yaml").open("a") as settings:
        settings.write("\nwindows: {lag: 0}\n")  # nobody wants to wait for two minutes here; the overlap stays
    return str(folder)


@pytest.fixture
def legacy_url(tmp_path):
    """A shop with nothing but customers, all but a few of whom changed long ago."""
    url = f"sqlite:///{tmp_path / 'legacy.sqlite'}"
    engine = create_engine(url)
    proof.metadata.create_all(engine)
    now = datetime.now(UTC).replace(tzinfo=None) - proof.BOGOTA_BEHIND_UTC
    with engine.begin() as connection:
        connection.execute(
            insert(proof.member),
            [
                {
                    "id": f"C{number:06}",
                    "name": f"customer {number}",
                    "email": f"c{number}@shop.invalid",
                    "joined_at": now - timedelta(days=400),
                    "purchases": 0,
                    "changed_at": now
                    - (timedelta(minutes=5) if number < RECENT else timedelta(days=1, seconds=number)),
                }
                for number in range(CUSTOMERS)
            ],
        )
        connection.exec_driver_sql("CREATE INDEX by_id ON member (id)")
        connection.exec_driver_sql("CREATE INDEX by_time ON member (changed_at, id)")
    engine.dispose()
    return url


def test_one_new_name_is_one_record_in_one_request_and_the_overlap_is_all_that_is_read(legacy_url, mapping, tmp_path):
    with journey(legacy_url, f"sqlite:///{tmp_path / 'ledger.sqlite'}", mapping=mapping) as trip:
        load = trip.migrate("load", entities=[Entity.CUSTOMERS])
        assert load.adds_up
        assert load.sent == CUSTOMERS
        before = len(trip.posts())

        # Times that the database keeps as text are compared to the second: what is newer than that
        # is the next run's.
        changed = datetime.now(UTC).replace(tzinfo=None) - proof.BOGOTA_BEHIND_UTC - timedelta(seconds=1)
        with trip.legacy.begin() as connection:
            statement = proof.member.update().where(proof.member.c.id == "C077777")
            connection.execute(statement.values(name="another name", changed_at=changed))
        made = trip.migrate("increment", asked=Asked(RunKind.INCREMENT), entities=[Entity.CUSTOMERS])

        (customers,) = made.entities
        assert made.adds_up
        assert customers.read == RECENT + 1
        assert {state: rows for state, rows in customers.states.items() if rows} == {
            "delivered": 1,
            "unchanged": RECENT,
        }
        (post,) = trip.posts()[before:]
        assert post.accepted == (("C077777", "C077777"),)
