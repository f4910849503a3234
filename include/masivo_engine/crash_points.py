"""
Named places where a process may be told to die, so that tests can kill it exactly there.

``MASIVO_CRASH_AT=received`` kills the process by SIGKILL when it first passes the point *received*,
``received:3`` when it passes it for the third time. Nothing happens, and next to nothing is spent,
where the variable is not set. It is read once.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable


VARIABLE = "MASIVO_CRASH_AT"

# In the order in which a batch passes them; each name says what has just been done, or is about to
# be.
POINTS = (
    "page_entered",
    "packed",
    "turn_taken",
    "sending",
    "answered",
    "received",
    "taking_apart",
    "settling",
    "finishing",
)

Trap = Callable[[str], None]


def crash_point(name: str) -> None:
    """Die here, if this process was told to die at *name*."""
    if _trap is not None:
        _trap(name)


def set_trap(trap: Trap | None) -> None:
    """Let *trap* decide what happens at each point from now on; None lets nothing happen."""
    global _trap  # noqa: PLW0603 (one per process, as the variable is)
    _trap = trap


def trap_at(place: str, die: Callable[[], None] | None = None) -> Trap:
    """
    Return a trap for *place*, ``name`` or ``name:n``, that calls *die*, by default SIGKILL.

    Raises `ValueError` for a name that is no point: a process that outlives its own murder proves
    nothing.
    """
    name, _, nth = place.partition(":")
    if name not in POINTS:
        msg = f"{VARIABLE}: {name!r} is no crash point; known are {', '.join(POINTS)}"
        raise ValueError(msg)
    left = int(nth or 1)

    def trap(passed: str) -> None:
        nonlocal left
        if passed == name:
            left -= 1
            if left == 0:
                (die or _kill)()

    return trap


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


_trap: Trap | None = trap_at(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None
