"""
Our wheel in the Airflow of a team that has its own DAGs, plugin and `include/`: both live and both
run, with the versions of that Airflow.

The versions are those of the lock, those of the month in which Airflow 3.3.2 appeared (as its own
constraints have them), and the lowest that pyproject.toml allows.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path
from types import SimpleNamespace

import pytest

from masivo_engine.model.rows import Entity
from masivo_engine.samples.planted import GOES
from tests import servers
from tests.databases.sample import sample_shop
from tests.team import OURS, Team
from tests.whole_migration import connections


pytestmark = [pytest.mark.timeout(900), pytest.mark.slow, pytest.mark.airflow]

ROOT = Path(__file__).parent.parent.parent
DAGS = {"masivo_plan", "masivo_sync", "masivo_sweep", "masivo_replay", "masivo_verify"}
EXTRAS = ("sandbox", "postgres", "mysql")
MONTH = ("--exclude-newer", "2026-09-20")


@dataclass(frozen=True)
class Versions:
    """
    What an Airflow brings along: uv's *options*, or else the *lowest*; *told* are some that it then
    must have.
    """

    told: dict[str, str]
    options: tuple[str, ...] = ()
    lowest: bool = False
    include_is_package: bool = False


VERSIONS = {
    "newest": Versions(
        {"pydantic": "2.14.3", "sqlalchemy": "2.1.9"}, options=("--constraint", str(ROOT / "requirements.lock"))
    ),
    "of its month": Versions({"pydantic": "2.13.5", "sqlalchemy": "2.0.54"}, options=MONTH, include_is_package=True),
    "lowest": Versions({"apache-airflow": "3.3.0", "pydantic": "2.11.5", "sqlalchemy": "2.0.50"}, lowest=True),
}


def _uv(*arguments: str) -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("uv"), *arguments], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3_000:]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    _uv("build", "--wheel", "--no-build-isolation", "--python", sys.executable, "--out-dir", str(folder))
    return next(folder.glob("masivo_migration-*.whl"))


@pytest.fixture(scope="module", params=VERSIONS)
def team(request, tmp_path_factory, wheel):
    """
    A team with an Airflow of these versions that has installed our wheel; its mapping lies beside
    its file of three lines.
    """
    versions = VERSIONS[request.param]
    home = tmp_path_factory.mktemp("team")
    python, options = home / "venv" / "bin" / "python", versions.options
    if versions.lowest:
        lowest = str(home / "lowest.txt")
        extras = [word for extra in EXTRAS for word in ("--extra", extra)]
        how = ("--resolution", "lowest-direct", "--python", sys.executable, *MONTH)
        _uv("pip", "compile", "--quiet", "pyproject.toml", *extras, *how, "--output-file", lowest)
        options = ("--constraint", lowest)
    _uv("venv", "--python", sys.executable, str(python.parent.parent))
    _uv("pip", "install", "--python", str(python), f"masivo-migration[{','.join(EXTRAS)}] @ {wheel.as_uri()}", *options)

    made = Team(home, python)
    made.write({"dags/masivo.py": OURS} | ({"include/__init__.py": ""} if versions.include_is_package else {}))
    shutil.copytree(ROOT / "include" / "mappings" / "sample", home / "dags" / "loyalty")
    assert versions.told.items() <= _installed(python).items()
    made.run("airflow", "db", "migrate")
    return made


def _installed(python: Path) -> dict[str, str]:
    (packages,) = (python.parent.parent / "lib").glob("python*/site-packages")
    found: list[Distribution] = list(distributions(path=[str(packages)]))
    return {one.name: one.version for one in found} | {one.name.lower(): one.version for one in found}


@contextmanager
def _sandbox(team: Team) -> Iterator[str]:
    """Run the sandbox of the wheel, on a free port; yield its address."""
    command = [
        team.python.with_name("masivo"),
        "sandbox",
        "--port",
        "0",
        "--interval",
        "0",
        "--per-hour",
        "0",
        "--delay",
        "0",
    ]
    with subprocess.Popen(command, env=team.environment, cwd=team.root, stdout=subprocess.PIPE, text=True) as program:
        try:
            yield re.search(r"http://127\.0\.0\.1:\d+", program.stdout.readline())[0]
        finally:
            program.terminate()


def test_both_live(team):
    plugins = {found["name"]: found for found in team.table("plugins")}
    assert {"team", "masivo"} <= plugins.keys()
    assert "masivo.plugin" in plugins["masivo"]["source"]
    assert {found["dag_id"] for found in team.table("dags", "list", "--local")} == {"team_sales", *DAGS}
    assert "masivo" in {found["connection_type"] for found in team.table("providers", "hooks")}
    team.run("python", "-c", "from masivo.ui.views import application; application()")


def test_both_run(team, tmp_path, postgres_server):
    team.test("team_sales")
    assert (team.root / "sold").read_text() == "9"

    legacy, planted = sample_shop(tmp_path, customers=60)
    with servers.fresh_database(postgres_server) as ledger, _sandbox(team) as address:
        given = connections(SimpleNamespace(url=address), f"sqlite:///{legacy}", ledger, "opencart")
        checked = team.run("masivo", "check", **given | {"MASIVO_MAPPING": str(team.root / "dags" / "loyalty")})
        team.test("masivo_plan", **given)
        team.test("masivo_sync", "--conf", json.dumps({"tolerance": 1_000}), **given)
        made = json.loads(team.run("masivo", "account", "--json", **given))

    assert "in mapping loyalty (environment variable MASIVO_MAPPING)" in checked
    assert made["adds_up"] is True
    assert made["mapping"] == "loyalty"  # its DAG's, and not the environment's
    goes = {entity: planted.outcomes[entity][GOES] for entity in Entity}
    assert {entity: one["delivered"] for entity, one in made["entities"].items()} == goes
