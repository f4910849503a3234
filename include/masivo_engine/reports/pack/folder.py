"""
Where a pack lies: one folder per run, its owner's alone, seen whole or not at all.

It is written beside its place under another name and renamed when it is complete; the one that was
there before goes. The manifest holds size and SHA-256 of every file, and ``SHA256SUMS`` the same
for ``sha256sum --check``.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO


MANIFEST, SUMS = "manifest.json", "SHA256SUMS"
_LONGEST_NAME = 120


class Folder:
    """A folder that is being written; *files* names what is in it so far, in order."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files: list[str] = []

    @contextmanager
    def text(self, name: str) -> Iterator[TextIO]:
        """
        Open a new file called *name* for UTF-8 text, readable by its owner alone; line ends are the
        writer's.
        """
        descriptor = os.open(self.path / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self.files.append(name)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            yield file

    def put(self, name: str, text: str) -> None:
        """Write a whole file."""
        with self.text(name) as file:
            file.write(text)

    def put_json(self, name: str, value: Any) -> None:
        """Write *value* for people and machines."""
        self.put(name, json.dumps(value, indent=2, ensure_ascii=False) + "\n")

    def sums(self) -> dict[str, dict[str, Any]]:
        """Return bytes and SHA-256 of every file so far, by name."""
        return {name: {"bytes": (self.path / name).stat().st_size, "sha256": self._sha256(name)} for name in self.files}

    def close(self, about: dict[str, Any]) -> None:
        """
        Write manifest and sums: what the folder is *about*, and what proves that it was not
        changed.
        """
        files = self.sums()
        self.put_json(MANIFEST, about | {"files": files})
        sums = {name: known["sha256"] for name, known in files.items()} | {MANIFEST: self._sha256(MANIFEST)}
        self.put(SUMS, "".join(f"{digest}  {name}\n" for name, digest in sums.items()))

    def _sha256(self, name: str) -> str:
        with (self.path / name).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def name_of(run_id: str) -> str:
    """
    Return *run_id* as the name of a folder; with a part of its hash where it had to be changed, so
    that no two meet.
    """
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", run_id)[:_LONGEST_NAME].strip(".-")
    if name == run_id:
        return name
    return f"{name or 'run'}-{hashlib.sha256(run_id.encode()).hexdigest()[:8]}"


@contextmanager
def written_whole(into: Path, name: str) -> Iterator[Folder]:
    """
    Give a new folder to be written, which is called *name* in *into* once it is complete. Raises
    `OSError`.
    """
    into.mkdir(mode=0o700, parents=True, exist_ok=True)
    _clear(into, name)  # what a writer left that was killed
    part = into / f".{name}.{secrets.token_hex(4)}.part"
    part.mkdir(mode=0o700)
    try:
        yield Folder(part)
        _replace(into / name, part)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _replace(place: Path, part: Path) -> None:
    if not place.exists():
        part.rename(place)
        return
    old = part.with_suffix(".old")
    place.rename(old)
    try:
        part.rename(place)
    except OSError:
        old.rename(place)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _clear(into: Path, name: str) -> None:
    for left in into.iterdir():
        if re.fullmatch(rf"\.{re.escape(name)}\.[0-9a-f]{{8}}\.(part|old)", left.name):
            shutil.rmtree(left, ignore_errors=True)
