"""
A team that has an Airflow with a DAG, a plugin and code of its own; ours comes beside them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


# Names that ours have, too: what a team calls its files is its own affair. It sells into a file.
FILES = {
    "dags/team_sales.py": """
from pathlib import Path
from airflow.sdk import DAG, task
from include.prices import price
from operators import greet
import hook
with DAG("team_sales", description=greet() + hook.WHOSE, schedule=None):
    @task
    def sell():
        Path(__file__).parent.parent.joinpath("sold").write_text(str(price()))
    sell()
""",
    "plugins/team.py": """
from airflow.plugins_manager import AirflowPlugin
class Team(AirflowPlugin):
    name = "team"
    external_views = [{"name": "Sales", "href": "https://sales.example", "destination": "nav", "url_route": "sales"}]
""",
    "plugins/operators.py": "def greet(): return 'hello'\n",
    "plugins/hook.py": "WHOSE = 'the team'\n",
    "include/prices.py": "def price(): return 9\n",
}

# The file that makes ours, as docs/install.md has it.
OURS = """# Our migration to Masivo, for Airflow
from pathlib import Path

from masivo.dags import migration

migration(mapping=Path(__file__).parent / "loyalty")
"""


class Team:
    """
    The folder *root* as Airflow's home, with the team's `FILES` in it and on the path; *python* has
    Airflow installed.

    *path* are further folders on the path.
    """

    def __init__(self, root: Path, python: Path = Path(sys.executable), path: tuple[Path, ...] = ()) -> None:
        self.root = root
        self.python = python
        self.write(FILES)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "MASIVO_"))}
        self.environment = kept | {
            "AIRFLOW_HOME": str(root),
            "AIRFLOW__CORE__DAGS_FOLDER": str(root / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(root / "plugins"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__LAZY_LOAD_PLUGINS": "False",
            "PYTHONPATH": os.pathsep.join(map(str, (*path, root))),
        }

    def write(self, files: Mapping[str, str]) -> None:
        """Write the texts *files* into the team's folder."""
        for name, text in files.items():
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).write_text(text)

    def run(self, *command: str, **variables: str) -> str:
        """Run one of the programs that are installed beside *python*; return what it printed."""
        done = subprocess.run(
            [self.python.with_name(command[0]), *command[1:]],
            env=self.environment | variables,
            cwd=self.root,
            check=False,
            capture_output=True,
            text=True,
        )
        said = done.stdout + done.stderr
        assert done.returncode == 0, said[-5_000:]
        assert "Failed to import plugin" not in said
        assert "already registered" not in said
        return done.stdout

    def table(self, *command: str) -> list[dict[str, Any]]:
        """Return the table that one of Airflow's programs prints."""
        printed = self.run("airflow", *command, "--output", "json")
        return json.loads(printed[printed.index("[{") :])

    def test(self, dag: str, *options: str, **variables: str) -> None:
        """Run *dag* once, as it is run by hand, to its success."""
        assert "state=success" in self.run("airflow", "dags", "test", dag, *options, **variables).splitlines()[-1]
