"""
What really happened: one line of JSON for each request, on the disk before the sandbox misbehaves.

Ground truth for a checker, without payloads: who asked what when, what was accepted (keys only),
which fault was played. The content is found by key in the store (`holdings`). A line that was torn
by a crash is cut off on opening; what was accepted in the moment of the crash is in the store, and
its line is made good as ``recovered``.
"""

from __future__ import annotations

import json
import os
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """
    One request.

    *monotonic_s* and *started_at* (seconds since 1970) are when its first line arrived, *path* is
    below the base path. *status* is what was answered, or was going to be before a fault cut it
    off; 0 if no answer was meant. *accepted* holds (key, customer) of every record that was taken,
    whatever was answered. *verdict* is the sandbox's own judgement: accepted, partly_accepted,
    refused, limited, unauthorized, too_large, malformed, cut_off, read, not_found, not_taken (a
    fault came first), recovered.
    """

    sequence: int
    monotonic_s: float
    started_at: float
    account: str
    method: str
    path: str
    verdict: str
    status: int = 0
    sha256: str = ""
    size: int = 0
    records: int = 0
    accepted: tuple[tuple[str, str], ...] = ()
    fault: str = ""


class Journal:
    """Appends to the file at *path*. Thread-safe."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.recent: deque[Line] = deque(maxlen=50)
        self._lock = threading.Lock()
        self._file = os.fdopen(os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600), "ab")
        whole = _whole_lines(path)
        if whole != path.stat().st_size:
            self._file.truncate(whole)

    def append(self, line: Line, *, durable: bool) -> None:
        """Add *line*; when *durable*, it is on the disk on return."""
        text = json.dumps({name: getattr(line, name) for name in Line.__slots__}, separators=(",", ":")) + "\n"
        with self._lock:
            self._file.write(text.encode())
            self._file.flush()
            self.recent.append(line)
            if durable:
                os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._file.close()


def read(path: Path) -> Iterator[Line]:
    """Yield the lines of the journal at *path*; a torn last one is left out."""
    with path.open("rb") as file:
        for text in file:
            if text.endswith(b"\n"):
                fields = json.loads(text)
                fields["accepted"] = tuple((key, customer) for key, customer in fields["accepted"])
                yield Line(**fields)


def _whole_lines(path: Path) -> int:
    size = 0
    with path.open("rb") as file:
        for text in file:
            if text.endswith(b"\n"):
                size += len(text)
    return size
