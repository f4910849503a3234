"""
The mapping against the account: do the rewards and tiers that it names exist there.

Only what the API documents as a GET is asked (docs/api-facts.md#f-reading). It shows no brands,
stores or channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol
from urllib.parse import quote

from masivo_engine.checks.content.codes import ids_in
from masivo_engine.checks.files import files
from masivo_engine.checks.finding import Finding, blocker, note, warning
from masivo_engine.checks.questions import Asked
from masivo_engine.contract.fields import Kind
from masivo_engine.mapping.aliases import find
from masivo_engine.readback.shown import Reading


MOST = 25  # GETs: an account for development has a thousand a day

_PLACES = frozenset({"brand_id", "store_id", "channel_id"})


class Account(Protocol):
    """Asks the API. Implemented by `MasivoHook`."""

    def get(self, path: str) -> Reading:
        """GET *path* below the base path; never raises for what the API or network does."""


def standing(asked: Asked, account: Account) -> Iterator[Finding]:
    """Yield what the account lacks of what the mapping names."""
    rewards, tiers, places = _named(asked)
    yield from _rewards(account, rewards)
    if tiers:
        yield from _tiers(account, tiers)
    if places:
        named = ", ".join(sorted(places))
        matter = f"the API shows no brands, stores or channels, so {named} cannot be checked"
        yield note("masivo_api", "not_checked", matter, "compare them with the account's settings by eye")


def _named(asked: Asked) -> tuple[list[str], list[str], set[str]]:
    rewards: set[str] = set()
    tiers: set[str] = set()
    places: set[str] = set()
    for query in files(asked.mapping):
        for alias in (name.lower() for name in asked.columns.get(query, ())):
            node, last = find(query, alias), alias.rpartition("__")[2]
            places |= {last} & _PLACES
            if node is None or node.kind is not Kind.UUID:
                continue
            (tiers if last == "tier_id" else rewards).update(ids_in(asked, query, alias))
    return sorted(rewards), sorted(tiers), places


def _rewards(account: Account, rewards: list[str]) -> Iterator[Finding]:
    there = 0
    for number, reward in enumerate(rewards):
        if number == MOST:
            matter = f"{len(rewards) - MOST:,} more rewards were not asked for"
            yield note("masivo_api", "not_checked", matter, "so many point to ids that are no rewards")
            break
        reading = account.get(f"/rewards/{quote(reward, safe='')}")
        found = _data(reading)
        if reading.answer.status == 404 and not reading.answer.is_page:
            do = "create it in Masivo, or map the legacy purse to one that exists"
            yield blocker("masivo_api", "reward_missing", f"the account has no reward {reward}", do)
        elif not isinstance(found, dict):
            yield _silent(reading, f"whether reward {reward} exists")
            break
        elif found.get("type") not in (None, "POINTS"):
            matter = f"reward {reward} is of type {found['type']}, and balances are of POINTS"
            yield warning("masivo_api", "reward_of_other_type", matter, "map the purse to a reward of type POINTS")
        else:
            there += 1
    if there:
        yield note("masivo_api", "rewards", f"{there} of {len(rewards)} rewards that the mapping names exist")


def _tiers(account: Account, tiers: list[str]) -> Iterator[Finding]:
    reading = account.get("/tiers")
    found = _data(reading)
    if not isinstance(found, list):
        yield _silent(reading, "which tiers exist")
        return
    status = {str(tier.get("id", "")).lower(): tier.get("status") for tier in found if isinstance(tier, dict)}
    for tier in tiers:
        if tier not in status:
            do = "create it in Masivo, or map the legacy tier to one that exists"
            yield blocker("masivo_api", "tier_missing", f"the account has no tier {tier}", do)
        elif status[tier] == "INACTIVE":
            yield warning(
                "masivo_api", "tier_inactive", f"tier {tier} is INACTIVE", "switch it on in Masivo before the load"
            )
    there = sum(tier in status for tier in tiers)
    if there:
        yield note("masivo_api", "tiers", f"{there} of {len(tiers)} tiers that the mapping names exist")


def _data(reading: Reading) -> Any:
    if reading.answer.status != 200 or reading.answer.is_page or not isinstance(reading.json, dict):
        return None
    return reading.json.get("data")


def _silent(reading: Reading, what: str) -> Finding:
    said = f"status {reading.answer.status}" if reading.answer.status else "no answer"
    return note("masivo_api", "not_checked", f"{what}: the API does not say ({said})", "look in Masivo's own pages")
