"""``mapping.yaml``: what the SQL of a mapping cannot say."""

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
    """Decimal places that amounts are rounded to, half up (docs/api-facts.md#u21)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    money: int = Field(default=2, ge=0, le=6)
    points: int = Field(default=2, ge=0, le=6)
    quantity: int = Field(default=3, ge=0, le=6)


class Changed(BaseModel):
    """
    What is done with a row whose content changed after it was delivered.

    A transaction's key is never sent twice, and an event that is sent again counts again
    (docs/api-facts.md#u6). So both wait for a person.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    customers: Literal["resend", "hold", "ignore"] = "resend"
    events: Literal["resend", "hold", "ignore"] = "hold"
    transactions: Literal["hold", "ignore"] = "hold"


class Unproven(BaseModel):
    """
    What is done with a record that was sent, if neither an answer nor a read-back shows its fate.

    There is no choice for transactions: points that are sent twice count twice, so they are held.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    customers: Literal["hold", "resend"] = "hold"
    events: Literal["hold", "resend"] = "hold"
    transactions: Literal["hold"] = "hold"


class Policies(BaseModel):
    """What the operator has decided beforehand."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    changed: Changed = Changed()
    unproven: Unproven = Unproven()
    #: Those of a customer whose transactions were migrated. The API takes them once, by
    #: docs/api-facts.md#f-transactions-once; ``send`` states that this account takes more.
    new_transactions: Literal["hold", "send"] = "hold"


class Windows(BaseModel):
    """How a scheduled run reads changes, in minutes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    overlap: float = Field(default=15, ge=0)  #: read again by the next run, for rows that are committed late
    lag: float = Field(default=2, ge=0)  #: left for the next run: what was just written may still move
    future: float = Field(default=24 * 60, ge=0)  #: how far ahead of the database's clock a change time may be


class Settings(BaseModel):
    """The contents of ``mapping.yaml``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    timezone: str  #: of naive timestamps
    timezones: dict[str, str] = Field(default_factory=dict)  #: by alias, in every file that has it
    places: Places = Places()
    policies: Policies = Policies()
    windows: Windows = Windows()
    #: By entity: the lists whose own ``updated_at`` counts as a change of their parent.
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


def settings_of(file: Path, *, unsaid_zone: str = "") -> Settings:
    """
    Read *file*; *unsaid_zone* is taken where it leaves the time zone to say.

    Raises `MappingError` with the key, the fault and what to do.
    """
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
    said = content or {}
    if said.get("timezone") is None:  # a key without a value says nothing, as in a draft
        said = {key: value for key, value in said.items() if key != "timezone"}
        said |= {"timezone": unsaid_zone} if unsaid_zone else {}
    try:
        return Settings.model_validate(said)
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
