"""
Reading a pack as a stranger would: its pages' numbers by what they say they are, its files by name.
"""

from __future__ import annotations

import csv
import re
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path


# Elements that have no end.
_VOID = {"meta", "br", "hr", "link", "img", "input"}


class Page(HTMLParser):
    """
    A page's tree as far as a test asks for it.

    *equations* by unit, what and state; *troubles* the number of rows by state, entity, reason and
    column; *findings* those of a read-back by entity and bucket; *tags* every element with its
    attributes; *text* all that is seen.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.equations: dict[tuple[str, str], dict[str, Decimal]] = {}
        self.verdicts: dict[str, str] = {}
        self.troubles: dict[tuple[str, str, str, str], int] = {}
        self.findings: dict[tuple[str, str], int] = {}
        self.cells: dict[str, dict[tuple[str, str], str]] = {}
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()
        assert self._open == [], "every element is closed"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self._open.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        opened, _ = self._open.pop()
        assert opened == tag, f"<{opened}> is closed by </{tag}>"

    def handle_data(self, data):
        tag, attributes = self._open[-1] if self._open else ("", {})
        if tag in {"style", "title"} or not data.strip():
            return
        self.text += f" {data.strip()}"
        if tag == "dd" and "data-state" in attributes:
            of = self._around("data-unit"), self._around("data-what")
            self.equations.setdefault(of, {})[attributes["data-state"]] = number(data)
        elif tag == "span" and "verdict" in (attributes.get("class") or ""):
            self.verdicts[self._around("data-what")] = data.strip()
        elif tag == "div" and attributes.get("class") == "n":
            line = next(known for _, known in reversed(self._open) if "data-reason" in known or "data-bucket" in known)
            if "data-bucket" in line:
                self.findings[line["data-entity"], line["data-bucket"]] = int(number(data))
                return
            key = self._around("data-state"), line["data-entity"], line["data-reason"], line["data-column"]
            self.troubles[key] = int(number(data))
        elif tag == "td" and "data-is" in attributes:
            table = self._around("id")
            row = next((known for name, known in reversed(self._open) if name == "tr"), {})
            self.cells.setdefault(table, {})[next(iter(row.values()), ""), attributes["data-is"]] = data.strip()

    def _around(self, attribute):
        return next((known[attribute] for _, known in reversed(self._open) if attribute in known), "")


def page(folder: Path, name: str = "index.html") -> Page:
    """Read a page of the pack in *folder*."""
    return Page((folder / name).read_text("utf-8"))


def rows(folder: Path, name: str) -> list[dict[str, str]]:
    """Read a CSV file of the pack in *folder*."""
    with (folder / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def number(text: str) -> Decimal:
    """Read a number as the pages write it."""
    assert re.fullmatch(r"-?\d{1,3}(,\d{3})*(\.\d+)?", text.strip()), text
    return Decimal(text.strip().replace(",", ""))


def references(text: str) -> set[str]:
    """Return everything that a browser would follow or fetch for a page."""
    found = {value for _, attributes in Page(text).tags for name, value in attributes.items() if name in _FETCHES}
    found |= set(re.findall(r"url\(([^)]*)\)|@import\s+(\S+)", text))
    return {str(value) for value in found}


_FETCHES = {"href", "src", "srcset", "data", "action", "xlink:href", "poster", "background", "formaction"}
