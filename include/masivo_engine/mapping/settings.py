"""
``mapping.yaml``: what the SQL of a mapping cannot say.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from masivo_engine.contract.tree import nearest
from masivo_engine.model.errors import MappingError


class Places(BaseModel):
    """Decimal places that amounts are rounded to, half up (masivo_api.md U21)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    money: int = Field(default=2, ge=0, le=6)
    points: int = Field(default=2, ge=0, le=6)
    quantity: int = Field(default=3, ge=0, le=6)


class Changed(BaseModel):
    """
    What is done with a row whose content changed after it was delivered, by entity: ``resend``, ``hold`` or ``ignore``.

    A transaction's key is never sent twice, and an event that is sent again would count again (masivo_api.md U4), so both wait for a person.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    customers: Literal["resend", "hold", "ignore"] = "resend"
    events: Literal["resend", "hold", "ignore"] = "hold"
    transactions: Literal["hold", "ignore"] = "hold"


class Unproven(BaseModel):
    """
    What is done with a record that was sent, got no usable answer, and of which no read-back can prove anything: ``hold`` or ``resend``.

    There is no choice for transactions: they are held, because points that are sent twice count twice.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    customers: Literal["hold", "resend"] = "hold"
    events: Literal["hold", "resend"] = "hold"
    transactions: Literal["hold"] = "hold"


class Policies(BaseModel):
    """
    What the operator has decided beforehand.

    *new_transactions* are those of a customer whose transactions were migrated: the API's guide takes them once, so they are held until
    the operator states that the account takes more (``send``).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    changed: Changed = Changed()
    unproven: Unproven = Unproven()
    new_transactions: Literal["hold", "send"] = "hold"


class Windows(BaseModel):
    """
    How a scheduled run reads changes, in minutes.

    *overlap* is read again by the next run, for rows that are committed late; *lag* is left for the next run, because what
    was just written may still move. *future* is how far ahead of the database's clock a change time may be.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    overlap: float = Field(default=15, ge=0)
    lag: float = Field(default=2, ge=0)
    future: float = Field(default=24 * 60, ge=0)


class Settings(BaseModel):
    """
    The contents of ``mapping.yaml``.

    *timezone* is that of naive timestamps; *timezones* says it for single columns, by alias, in every file that has the alias.
    *moves_with* names, by entity, the lists whose own ``updated_at`` counts as a change of their parent.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    timezone: str
    timezones: dict[str, str] = Field(default_factory=dict)
    places: Places = Places()
    policies: Policies = Policies()
    windows: Windows = Windows()
    moves_with: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    description: str = ""

    @field_validator("timezone")
    @classmethod
    def _zone_exists(cls, name: str) -> str:
        return _zone(name)

    @field_validator("timezones")
    @classmethod
    def _zones_exist(cls, zones: dict[str, str]) -> dict[str, str]:
        return {column.lower(): _zone(name) for column, name in zones.items()}

    def zone_of(self, column: str) -> ZoneInfo:
        """Return the time zone of *column*'s naive timestamps."""
        return ZoneInfo(self.timezones.get(column, self.timezone))


def settings_of(file: Path) -> Settings:
    """Read *file*. Raises `MappingError` with the key, the fault and what to do."""
    if not file.is_file():
        raise MappingError(str(file), "is missing", "it must at least say `timezone:`, the zone of naive timestamps")
    try:
        content = yaml.safe_load(text_of(file))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = f" at line {mark.line + 1}" if mark else ""
        raise MappingError(str(file), f"is no YAML{at}", "check quotes, colons and indentation there") from None
    if content is not None and not isinstance(content, dict):
        raise MappingError(str(file), "holds no keys", "write a line like `timezone: America/Bogota`")
    try:
        return Settings.model_validate(content or {})
    except ValidationError as error:
        raise _settings_fault(str(file), error) from None


def _settings_fault(where: str, error: ValidationError) -> MappingError:
    # An unknown key first: it may be the misspelling of the one that is missing.
    first = min(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden")
    key = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        known = _keys_at(first["loc"][:-1])
        like = nearest(str(first["loc"][-1]), known)
        hint = f"did you mean {like!r}?" if like else f"known are {', '.join(known)}"
        return MappingError(where, f"unknown key {key!r}", hint)
    if first["type"] == "missing":
        remedy = (
            "add e.g. `timezone: America/Mexico_City`; there is no default, because a wrong guess moves dates silently"
        )
        return MappingError(where, "does not say the time zone of naive timestamps", remedy)
    if first["type"] == "value_error":
        return MappingError(where, f"{key}: {first['ctx']['error']}")
    return MappingError(where, f"{key}: {first['msg'][0].lower()}{first['msg'][1:]}")


def _keys_at(steps: Sequence[int | str]) -> Collection[str]:
    """Return the keys that there are behind *steps* of ``mapping.yaml``."""
    model: type[BaseModel] = Settings
    for step in steps:
        inner = model.model_fields[str(step)].annotation
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return ()
        model = inner
    return model.model_fields


def text_of(file: Path) -> str:
    """Return the text of a mapping's *file*. Raises `MappingError` if it is no UTF-8."""
    try:
        return file.read_text("utf-8-sig")  # editors on Windows begin a file with a byte order mark
    except UnicodeDecodeError:
        raise MappingError(str(file), "is no UTF-8", "save it as UTF-8") from None


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        like = nearest(name, available_timezones()) or "America/Bogota"
        msg = f"{name!r} is no time zone of the IANA list; did you mean {like!r}?"
        raise ValueError(msg) from None
    return name
