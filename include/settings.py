"""
``mapping.yaml``: what the SQL of a mapping cannot say.
"""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from include.contract.tree import nearest
from include.errors import MappingError


class Places(BaseModel):
    """Decimal places that amounts are rounded to, half up (masivo_api.md U21)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    money: int = Field(default=2, ge=0, le=6)
    points: int = Field(default=2, ge=0, le=6)
    quantity: int = Field(default=3, ge=0, le=6)


class Settings(BaseModel):
    """
    The contents of ``mapping.yaml``.

    *timezone* is that of naive timestamps; *timezones* says it for single columns, by alias, in every file that has the alias.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    timezone: str
    timezones: dict[str, str] = Field(default_factory=dict)
    places: Places = Places()
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
        known = Places.model_fields if first["loc"][0] == "places" else Settings.model_fields
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
