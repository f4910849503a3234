"""
Our DAGs and plugin in the folders of a team that has its own: Airflow's own programs load both, in
whatever way ours were copied.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]

ROOT = Path(__file__).parent.parent.parent
OURS = {path.stem for path in (ROOT / "dags").glob("masivo_*.py")}

# Names that ours have, too: what a team calls its files is its own affair.
DAG = """
from airflow.sdk import DAG, task
from operators import greet
import hook
with DAG("team_sales", description=greet() + hook.WHOSE, schedule=None):
    @task
    def sell(): ...
    sell()
"""
PLUGIN = """
from airflow.plugins_manager import AirflowPlugin
class Team(AirflowPlugin):
    name = "team"
    external_views = [{"name": "Sales", "href": "https://sales.example", "destination": "nav", "url_route": "sales"}]
"""
NAMED_LIKE_OURS = {"operators.py": "def greet(): return 'hello'\n", "hook.py": "WHOSE = 'the team'\n"}


def _copy(source: Path, target: Path, *, with_dotfiles: bool) -> None:
    def left_out(_: str, names: list[str]) -> set[str]:
        return {name for name in names if name == "__pycache__" or (name.startswith(".") and not with_dotfiles)}

    shutil.copytree(source, target, ignore=left_out, dirs_exist_ok=True)


class Team:
    """A team's Airflow with its own DAG, plugin and helpers; ours are beside them."""

    def __init__(self, root: Path, *, with_dotfiles: bool) -> None:
        self.root = root
        for name, text in {
            "dags/team_sales.py": DAG,
            "plugins/team.py": PLUGIN,
            **{f"plugins/{name}": text for name, text in NAMED_LIKE_OURS.items()},
        }.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        for folder in ("dags", "plugins", "include"):
            _copy(ROOT / folder, root / folder, with_dotfiles=with_dotfiles)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "MASIVO_"))}
        self._environment = kept | {
            "AIRFLOW_HOME": str(root),
            "AIRFLOW__CORE__DAGS_FOLDER": str(root / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(root / "plugins"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__LAZY_LOAD_PLUGINS": "False",
            "PYTHONPATH": f"{root / 'include'}:{root / 'plugins'}",
        }

    def airflow(self, *arguments: str) -> list[dict[str, str]]:
        """Run one of Airflow's programs, and return the table that it prints."""
        done = subprocess.run(
            [sys.executable, "-m", "airflow", *arguments, "--output", "json"],
            env=self._environment,
            cwd=self.root,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        assert "Failed to import plugin" not in done.stdout + done.stderr
        assert "already registered" not in done.stdout + done.stderr
        return json.loads(done.stdout[done.stdout.index("[{") :])


@pytest.fixture(scope="module", params=[True, False], ids=["as they are", "without dotfiles"])
def team(request, tmp_path_factory, airflow_database):
    home = tmp_path_factory.mktemp("team")
    shutil.copy(airflow_database, home)
    return Team(home, with_dotfiles=request.param)


def test_both_plugins_live(team):
    plugins = {found["name"]: found for found in team.airflow("plugins")}
    assert {"team", "masivo"} <= plugins.keys()
    assert "masivo.plugin" in plugins["masivo"]["source"]  # by its entry point, once


def test_all_dags_live(team):
    assert {found["dag_id"] for found in team.airflow("dags", "list", "--local")} == {"team_sales", *OURS}


def test_what_is_copied_hides_nothing_of_a_team(tmp_path):
    """Whatever the team's files are called: only our own package is left out."""
    from airflow._shared.module_loading import find_path_from_directory  # noqa: PLC0415

    theirs = {
        "plugins/masivo_of_the_team.py",
        "plugins/team/masivo/hook.py",
        "plugins/x.py",
        "dags/x.py",
        "dags/x/y.py",
    }
    for name in theirs:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for folder in ("dags", "plugins"):
        _copy(ROOT / folder, tmp_path / folder, with_dotfiles=True)
    loaded = {
        str(Path(found).relative_to(tmp_path))
        for folder in ("dags", "plugins")
        for found in find_path_from_directory(tmp_path / folder, ".airflowignore", "glob")
    }
    assert {name for name in loaded if name.endswith(".py")} == theirs | {f"dags/{name}.py" for name in OURS}
