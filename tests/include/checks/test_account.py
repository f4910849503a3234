"""
The mapping against the account, over HTTP against a sandbox: rewards and tiers that exist, that do
not, and an API that does not say.
"""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine

from masivo.hook import MasivoHook
from masivo_engine.checks.account import standing
from masivo_engine.checks.files import opened
from masivo_engine.checks.questions import Asked, Bounds
from masivo_engine.sandbox.options import Options
from masivo_engine.sandbox.wire.server import Sandbox
from tests.databases.sound import CUSTOMERS, REWARD, SoundShop
from tests.whole_migration import UNHURRIED, UNLIMITED, connections, environment


TIER = "5e0c1f6a-8a3b-4c55-9d1e-1b7f0a6d2c01"
WITH_TIER = {"customers.sql": CUSTOMERS.replace("m.status AS status", f"'{TIER}' AS metrics__lifetime__tier_id")}


@pytest.fixture
def said(sqlite_url, tmp_path):
    """What is said of a sound shop whose account is a sandbox with these options."""
    engine = create_engine(sqlite_url)
    mapping = SoundShop(engine, tmp_path).mapping(WITH_TIER)
    columns, _ = opened(engine, mapping)
    asked = Asked(engine, mapping, columns, Bounds())

    def ask(**options):
        with (
            Sandbox(Options(**{**UNHURRIED, **options})) as running,
            environment(connections(running, sqlite_url, sqlite_url, "sample", UNLIMITED)),
        ):
            hook = MasivoHook()
            try:
                return [(str(one.severity), one.code, one.matter) for one in standing(asked, hook)]
            finally:
                hook.close()

    yield ask
    engine.dispose()


def test_rewards_and_tiers_that_exist_are_a_note(said):
    assert said(rewards={REWARD: "Puntos"}, tiers={TIER: "Oro"}) == [
        ("note", "rewards", "1 of 1 rewards that the mapping names exist"),
        ("note", "tiers", "1 of 1 tiers that the mapping names exist"),
        (
            "note",
            "not_checked",
            "the API shows no brands, stores or channels, so brand_id cannot be checked",
        ),
    ]


def test_rewards_and_tiers_that_do_not_exist_block(said):
    found = said(rewards={}, tiers={})
    assert ("blocker", "reward_missing", f"the account has no reward {REWARD}") in found
    assert ("blocker", "tier_missing", f"the account has no tier {TIER}") in found


class Silent:
    """An API that answers with a page, as one whose address is another one's does."""

    def get(self, path):
        from masivo.hook import Reading  # noqa: PLC0415
        from masivo_engine.model.answers import Answer  # noqa: PLC0415

        del path
        return Reading(Answer(failure="no answer", left=True))


def test_an_api_that_does_not_say_is_a_note_and_no_blocker(sqlite_url, tmp_path):
    engine = create_engine(sqlite_url)
    mapping = SoundShop(engine, tmp_path).mapping(WITH_TIER)
    columns, _ = opened(engine, mapping)
    found = list(standing(Asked(engine, mapping, columns, Bounds()), Silent()))
    assert {(str(one.severity), one.code) for one in found} == {("note", "not_checked")}
    engine.dispose()
