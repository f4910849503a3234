"""What code and documents refer to is in this repository: files, headings, modules."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest


ROOT = Path(__file__).parent.parent
TEXTS = {".py", ".md", ".yaml", ".yml", ".toml", ".sql", ".html", ".css", ".cfg", ""}
# A history tells of files that are gone; the API's document is Masivo's; a test may make a name up.
NOT_OURS = ("CHANGELOG.md", "LICENSE", "requirements.lock", "include/masivo_engine/sandbox/openapi/events.yaml")

_DOCUMENT = re.compile(r"(?<![\w/.-])((?:[\w.-]+/)*[\w-]+\.md)(#[\w-]+)?")
_MODULE = re.compile(r"(?<=`)((?:masivo_engine|masivo)(?:\.[a-z_]\w*)+)")
_LINK = re.compile(r"\]\((?!https?:|mailto:)([^)\s#]*)(#[\w-]+)?\)")
_HOUSE = re.compile(r"(?<=`)((?:plugins/masivo|include|tests|docs|deploy)/[\w./-]+?)(?=`)")


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split(
        "\n"
    )
    files = [ROOT / name for name in listed if name and name not in NOT_OURS and Path(name).name != Path(__file__).name]
    return [path for path in files if path.suffix in TEXTS and path.is_file()]


FILES = tracked()


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def headings(document: Path) -> set[str]:
    """The anchors of *document*, as GitHub makes them."""
    titles = re.findall(r"^#+ +(.+?) *$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", FILES, ids=name)
def test_every_document_that_is_cited_is_here_with_its_heading(path):
    for cited, heading in _DOCUMENT.findall(path.read_text()):
        places = [ROOT / cited, path.parent / cited, ROOT / "docs" / cited]
        found = next((place for place in [*places, *ROOT.glob(f"docs/*/{cited}")] if place.is_file()), None)
        assert found, f"{name(path)} cites {cited}, which is not in this repository"
        assert not heading or heading[1:] in headings(found), f"{name(path)}: {cited} has no heading {heading}"


@pytest.mark.parametrize("path", [path for path in FILES if path.suffix == ".md"], ids=name)
def test_every_link_of_a_document_leads_somewhere(path):
    for target, heading in _LINK.findall(path.read_text()):
        found = (path.parent / target).resolve() if target else path
        assert found.exists(), f"{name(path)} links to {target}"
        if heading and found.suffix == ".md":
            assert heading[1:] in headings(found), f"{name(path)} links to {target}{heading}"


@pytest.mark.parametrize("path", [path for path in FILES if path.suffix in {".py", ".md"}], ids=name)
def test_every_module_that_is_named_exists(path):
    for dotted in _MODULE.findall(path.read_text()):
        assert is_module_or_in_one(dotted), f"{name(path)} names {dotted}"


def is_module_or_in_one(dotted: str) -> bool:
    parts = dotted.split(".")
    for end in range(len(parts), 0, -1):
        try:
            spec = find_spec(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        if spec is not None:
            origin = Path(spec.origin or "")
            rest = parts[end:]
            return not rest or (
                origin.is_file() and re.search(rf"\b{re.escape(rest[0])}\b", origin.read_text()) is not None
            )
    return False


@pytest.mark.parametrize("path", [path for path in FILES if path.suffix == ".md"], ids=name)
def test_every_path_that_a_document_names_exists(path):
    for cited in _HOUSE.findall(path.read_text()):
        assert (ROOT / cited).exists(), f"{name(path)} names {cited}"


def test_the_places_of_the_architecture_and_the_glossary_exist():
    """They name files by their path below the engine, or whole."""
    for page in ("architecture.md", "glossary.md"):
        for cited in re.findall(r"`([a-z_]+/[\w/.]*?)`", (ROOT / "docs" / page).read_text()):
            assert any((base / cited).exists() for base in (ROOT, ROOT / "include" / "masivo_engine")), (
                f"{page}: {cited}"
            )


def test_every_numbered_fact_is_cited_by_its_heading():
    """A bare U23 or "seed 002" is a fact that the reader cannot look up."""
    bare = re.compile(r"(?<![#\w/])U\d{1,2}\b(?!\+)|\b[Ss]eeds? 00\d")
    for path in FILES:
        if path.suffix in {".py", ".yaml"}:
            assert not (found := bare.search(path.read_text())), f"{name(path)}: {found}"
