"""When refusals are no bad rows but one cause: then nothing more is sent."""

from __future__ import annotations

import re
from collections.abc import Sequence

from masivo_engine.batching.units import Unit
from masivo_engine.delivery.isolation import is_too_large
from masivo_engine.delivery.refusal_text import names
from masivo_engine.model.answers import Answer, words
from masivo_engine.model.rows import Entity


# So many records refused one by one, with nothing accepted in between, are no bad rows but one bad
# mapping; if nothing was ever accepted, and else, because bad rows come in clusters.
_ALIKE, _ALIKE_LATER = 3, 20


class Breaker:
    """Watches the answers to the requests of one slice."""

    def __init__(self, entity: Entity) -> None:
        self._entity = entity
        self._causes: list[str] = []
        self._accused: list[str] = []
        self._said = ""
        self._has_accepted = False

    def accepted(self) -> None:
        """Note that a request was accepted: what is refused now is not refused because all is."""
        self._causes.clear()
        self._accused.clear()
        self._has_accepted = True

    def refused_alone(self, unit: Unit, refusal: Answer) -> None:
        """Note that the API refused *unit* by itself."""
        self._said = words(refusal)
        self._causes.append("too large" if is_too_large(refusal) else _cause(self._said, unit))
        self._accused += [record.place for record in unit]

    @property
    def is_open(self) -> bool:
        """Whether all refusals look like one cause, so that nothing more is to be sent."""
        enough = _ALIKE_LATER if self._has_accepted else _ALIKE
        return len(self._causes) >= enough and len(set(self._causes[-enough:])) == 1

    @property
    def accused(self) -> Sequence[str]:
        """The places of those who were refused since something was accepted last."""
        return self._accused

    def __str__(self) -> str:
        return (
            f"the API refused {len(self._causes)} {self._entity} in a row one by one, with the same words and nothing"
            f" accepted in between: {self._said[:200]!r}; this looks like the mapping, not like bad rows; nothing"
            " more was sent"
        )


def _cause(said: str, unit: Unit) -> str:
    """Return *said* without what differs from record to record."""
    for name in sorted(names(unit), key=len, reverse=True):
        said = said.replace(name, "")
    return re.sub(r"'[^']*'|\"[^\"]*\"|`[^`]*`|\d+|\S*@\S*", "", said)
