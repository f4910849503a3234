"""
What an account has been set up with: its rewards and tiers, in the shape in which the API shows
them (docs/api-facts.md#f-catalogue).

Unless it is told otherwise, the sandbox is set up for the mappings that come with the project.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from masivo_engine.sandbox.wire.wire import Reply


REWARDS: Mapping[str, str] = {
    "8f4d2b90-6c1e-4a7b-b3f5-2e9d7c0a1b01": "Puntos",
    "8f4d2b90-6c1e-4a7b-b3f5-2e9d7c0a1b02": "Sellos",
    "8f4d2b90-6c1e-4a7b-b3f5-2e9d7c0a1c01": "Points",
}
TIERS: Mapping[str, str] = {
    "5e0c1f6a-8a3b-4c55-9d1e-1b7f0a6d2c01": "Bronce",
    "5e0c1f6a-8a3b-4c55-9d1e-1b7f0a6d2c02": "Plata",
    "5e0c1f6a-8a3b-4c55-9d1e-1b7f0a6d2c03": "Oro",
    "5e0c1f6a-8a3b-4c55-9d1e-1b7f0a6d2c04": "Platino",
}

_REWARD = re.compile(r"/rewards/(?P<id>[^/]+)")
_NO_INDEX = Reply.problem(400, "Bad Request", "from and to are required, as numbers from 0")


def shown(path: str, query: Mapping[str, str], rewards: Mapping[str, str], tiers: Mapping[str, str]) -> Reply | None:
    """Answer ``GET /rewards``, ``/rewards/{id}`` and ``/tiers``; None for any other *path*."""
    if path == "/tiers":
        return Reply.of({"data": [_tier(tier, name, level) for level, (tier, name) in enumerate(tiers.items(), 1)]})
    if path == "/rewards":
        first, last = query.get("from", ""), query.get("to", "")
        if not (first.isascii() and first.isdigit() and last.isascii() and last.isdigit()):
            return _NO_INDEX
        every = [_reward(reward, name) for reward, name in rewards.items()]
        return Reply.of({"data": every[int(first) : int(last) + 1]})
    match = _REWARD.fullmatch(path)
    if match is None:
        return None
    reward = match["id"].lower()
    if reward not in rewards:
        return Reply.problem(404, "Not Found", "Reward not found")
    return Reply.of({"data": _reward(reward, rewards[reward])})


def _reward(reward: str, name: str) -> dict[str, Any]:
    return {
        "id": reward,
        "brand_id": None,
        "name": name,
        "description": "",
        "type": "POINTS",
        "conditions": [],
        "attributes": {"conversion_factor": 0.1},
    }


def _tier(tier: str, name: str, level: int) -> dict[str, Any]:
    return {"id": tier, "name": name, "description": "", "status": "ACTIVE", "level": level}
