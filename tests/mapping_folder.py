"""
Mapping folders for tests: the smallest that loads, with what a test wants different.
"""

from __future__ import annotations

from pathlib import Path

from masivo_engine.mapping.loader import Mapping, load


CUSTOMERS = "SELECT id, name, email, registered AS registration_date FROM customer"
SMALLEST = {"customers.sql": CUSTOMERS, "mapping.yaml": "timezone: America/Mexico_City\n"}


def write(folder: Path, files: dict[str, str | bytes | None]) -> Path:
    """
    Write the smallest mapping into *folder*; *files* replace or add to it, None leaves one out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in {**SMALLEST, **files}.items():
        if content is not None:
            (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def mapping(folder: Path, files: dict[str, str | bytes | None]) -> Mapping:
    """Write a mapping as `write` does, and load it."""
    return load(str(write(folder, files)))
