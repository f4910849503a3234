"""
Our DAGs and plugin copied into the folders of a team that has its own: Airflow's own programs load
both, in whatever way ours were copied.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.team import Team


pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]

ROOT = Path(__file__).parent.parent.parent
OURS = {path.stem for path in (ROOT / "dags").glob("masivo_*.py")}


def _copy(source: Path, target: Path, *, with_dotfiles: bool) -> None:
    def left_out(_: str, names: list[str]) -> set[str]:
        return {name for name in names if name == "__pycache__" or (name.startswith(".") and not with_dotfiles)}

    shutil.copytree(source, target, ignore=left_out, dirs_exist_ok=True)


@pytest.fixture(scope="module", params=[True, False], ids=["as they are", "without dotfiles"])
def team(request, tmp_path_factory, airflow_database):
    home = tmp_path_factory.mktemp("team")
    shutil.copy(airflow_database, home)
    for folder in ("dags", "plugins", "include"):
        _copy(ROOT / folder, home / folder, with_dotfiles=request.param)
    return Team(home, path=(home / "include", home / "plugins"))


def test_both_plugins_live(team):
    plugins = {found["name"]: found for found in team.table("plugins")}
    assert {"team", "masivo"} <= plugins.keys()
    assert "masivo.plugin" in plugins["masivo"]["source"]  # by its entry point, once


def test_all_dags_live(team):
    assert {found["dag_id"] for found in team.table("dags", "list", "--local")} == {"team_sales", *OURS}


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
