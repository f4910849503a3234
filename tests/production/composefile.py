"""
docker-compose.yaml as its services are started: variables filled in, anchors merged, a command as
its words.

Only what this project's file uses of the compose specification; `test_compose` holds it against
compose's own reading.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


_VARIABLE = re.compile(r"\$(?:(\$)|\{(\w+)(?::-([^}]*))?\})")


@dataclass(frozen=True, slots=True)
class Service:
    """
    One service: its *command* word by word, its *environment*, its health check as words, and the
    rest as it stands.
    """

    name: str
    command: list[str]
    environment: dict[str, str]
    health: list[str]
    text: dict[str, Any]

    @property
    def is_ours(self) -> bool:
        """Whether it runs the image that the Dockerfile makes."""
        return "build" in self.text


def variables(file: Path) -> dict[str, str]:
    """Return the variables of a .env *file*."""
    lines = (line.strip() for line in file.read_text().splitlines())
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def services(file: Path, given: Mapping[str, str]) -> dict[str, Service]:
    """
    Return the services of *file* with the variables *given*, which are those of its .env, too.
    """
    read = yaml.safe_load(file.read_text())["services"]
    return {name: _service(name, _filled(text, given), given) for name, text in read.items()}


def _service(name: str, text: dict[str, Any], given: Mapping[str, str]) -> Service:
    from_file = dict(given) if "env_file" in text else {}
    own = {name: str(value) for name, value in (text.get("environment") or {}).items()}
    check = (text.get("healthcheck") or {}).get("test") or ["CMD"]
    health = ["sh", "-c", check[1]] if check[0] == "CMD-SHELL" else check[1:]
    return Service(name, words(text.get("command") or []), from_file | own, health, text)


def words(command: str | list[str]) -> list[str]:
    """Return a command, given as a line or word by word, as words."""
    return shlex.split(command) if isinstance(command, str) else [str(word) for word in command]


def _filled(value: Any, given: Mapping[str, str]) -> Any:
    match value:
        case str():
            return _VARIABLE.sub(lambda found: "$" if found[1] else given.get(found[2]) or found[3] or "", value)
        case dict():
            return {name: _filled(inner, given) for name, inner in value.items()}
        case list():
            return [_filled(inner, given) for inner in value]
        case _:
            return value
