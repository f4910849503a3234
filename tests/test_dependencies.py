"""
What is imported is declared in pyproject.toml, what is declared is used, and the lock has versions
that the declared ranges allow.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

# What only a part of the project needs is an extra of its own.
PARTS = {Path("include/masivo_engine/sandbox"): "sandbox", Path("plugins/masivo/demo"): "demo"}
INSTALLED = packages_distributions()  # once: it reads the files of every package
DRIVERS = {"postgres", "mysql", "mssql", "oracle"}
NOT_IMPORTED = {"rfc3339-validator"}


def _declared(extra: str = "") -> dict[str, Requirement]:
    """
    Return what is required by name, of everybody or by *extra* alone; what an extra takes from
    another, too.
    """
    lines = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    found: dict[str, Requirement] = {}
    for requirement in map(Requirement, lines):
        if requirement.name == PROJECT["name"]:
            for other in requirement.extras:
                found |= _declared(other)
        else:
            found[canonicalize_name(requirement.name)] = requirement
    return found


def _imported(path: Path) -> set[str]:
    """Return the packages, by their names on PyPI, from which *path* imports modules."""
    found: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module))
    return {package for module in found if (package := _package(module))}


def _package(module: str) -> str:
    top, *rest = module.split(".")
    if top in sys.stdlib_module_names or top in {"masivo", "masivo_engine"}:
        return ""
    if top == "airflow":  # which shares its name with its providers
        return f"apache-airflow-providers-{rest[1]}" if rest[:1] == ["providers"] else "apache-airflow"
    (package,) = set(INSTALLED[top])
    return canonicalize_name(package)


def _files(*folders: Path) -> list[Path]:
    return sorted(path.relative_to(ROOT) for folder in folders for path in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("path", _files(Path("include"), Path("plugins"), Path("dags")), ids=str)
def test_what_a_file_imports_is_declared_for_whoever_has_the_file(path):
    declared = {*_declared()}
    for folder, extra in PARTS.items():
        if folder in path.parents:
            declared |= _declared(extra).keys()
    assert _imported(path) <= declared


def test_what_is_declared_is_imported():
    everywhere = {package for path in _files(Path("include"), Path("plugins")) for package in _imported(path)}
    assert _declared().keys() - everywhere == NOT_IMPORTED
    for extra in PARTS.values():
        assert _declared(extra).keys() <= everywhere
    assert PROJECT["optional-dependencies"].keys() == DRIVERS | set(PARTS.values())


def test_the_lock_has_what_is_declared_in_a_version_that_is_allowed():
    locked = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    for extra in ("", *PROJECT["optional-dependencies"]):
        for name, requirement in _declared(extra).items():
            assert requirement.specifier.contains(locked[name]), requirement


def test_the_image_can_have_each_driver_that_is_an_extra():
    """
    Those of requirements.txt are always there, the others are groups of their own, so that the lock
    has their hashes.
    """
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    always = (ROOT / "requirements.txt").read_text()
    for extra in DRIVERS:
        (name,) = _declared(extra)
        assert name in always or [canonicalize_name(Requirement(one).name) for one in groups[extra]] == [name]


def test_the_command_masivo_is_python_m_masivo():
    script = Path(sys.executable).with_name("masivo")
    printed = [
        subprocess.run([*command, "--help"], check=True, capture_output=True, text=True).stdout
        for command in ([script], [sys.executable, "-m", "masivo"])
    ]
    assert printed[0] == printed[1]
    assert "usage:" in printed[0]
