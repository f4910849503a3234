"""
The shape of the house (docs/architecture.md): which way imports point, and what files are called.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


ROOT = Path(__file__).parent.parent

# Imports point one way: dags -> masivo (plugins) -> masivo_engine (include) -> libraries.
FORBIDDEN = {
    "include": {"airflow", "masivo", "include", "plugins", "dags", "tests", "requests", "httpx", "aiohttp", "urllib3"},
    "plugins": {"include", "plugins", "dags", "tests"},
    "dags": {"include", "plugins", "sqlalchemy", "requests", "httpx", "aiohttp", "tests"},
}
# The sandbox judges the pipeline's requests on its own, so it may not see what the pipeline
# believes; and the pipeline may not lean on a toy.
SANDBOX = Path("include/masivo_engine/sandbox")

SAYS_NOTHING = {
    "utils",
    "util",
    "helpers",
    "helper",
    "common",
    "misc",
    "manager",
    "handler",
    "processor",
    "data",
    "info",
}


def python_files(*folders: str) -> list[Path]:
    return sorted(path.relative_to(ROOT) for folder in folders for path in (ROOT / folder).rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Every module that *path* imports, at whatever level of the file, by its full name."""
    found: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", python_files(*FORBIDDEN), ids=str)
def test_imports_point_one_way(path):
    top_level = {name.partition(".")[0] for name in imports(path)}
    assert not top_level & FORBIDDEN[path.parts[0]]


@pytest.mark.parametrize("path", python_files(str(SANDBOX)), ids=str)
def test_the_sandbox_knows_nothing_of_the_pipeline(path):
    ours = {name for name in imports(path) if name.partition(".")[0] == "masivo_engine"}
    assert {name for name in ours if not name.startswith("masivo_engine.sandbox")} == set()


@pytest.mark.parametrize("path", [path for path in python_files("include") if SANDBOX not in path.parents], ids=str)
def test_the_pipeline_knows_nothing_of_the_sandbox(path):
    assert not {name for name in imports(path) if name.startswith("masivo_engine.sandbox")}


@pytest.mark.parametrize("path", python_files("include", "plugins", "dags"), ids=str)
def test_a_file_is_named_for_what_it_does(path):
    assert path.stem not in SAYS_NOTHING
    assert path.stem not in sys.stdlib_module_names


# What the engine is made of, from the bottom up. A package imports from packages in a layer below
# its own; two of one layer do not know each other.
LAYERS = (
    {"sql", "crash_points"},
    {"model"},
    {"contract", "samples"},
    {"mapping", "batching"},
    {"source", "ledger"},
    {"records", "readback"},
    {"triage", "delivery", "planning", "verification"},
    {"migrate", "forecast", "reports"},
    {"checks", "draft"},
)
# The same inside of the ledger; what is at its bottom may know each other.
LEDGER_LAYERS = (
    {"schema", "encoding", "dialects", "upgrade", "high_water", "migrations"},
    {"connection"},
    {"rows", "counts", "runs"},
    {"writing", "verification"},
)
ENGINE = Path("include/masivo_engine")
PIPELINE = [
    path for path in python_files(str(ENGINE)) if SANDBOX not in path.parents and path != ENGINE / "__init__.py"
]


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ENGINE.parent).with_suffix("").parts).removesuffix(".__init__")


def _layer(name: str, layers: tuple[set[str], ...], depth: int) -> int:
    part = name.split(".")[depth]
    return next(number for number, parts in enumerate(layers) if part in parts)


@pytest.mark.parametrize("path", PIPELINE, ids=str)
def test_a_package_imports_only_from_lower_layers(path):
    package, here = _module(path).split(".")[1], _layer(_module(path), LAYERS, 1)
    ours = {name for name in imports(path) if name.startswith("masivo_engine.") and name.split(".")[1] != package}
    assert {name for name in ours if _layer(name, LAYERS, 1) >= here} == set()


@pytest.mark.parametrize(
    "path", [path for path in PIPELINE if path.parts[2] == "ledger" and path.stem != "__init__"], ids=str
)
def test_inside_the_ledger_imports_point_downwards(path):
    part, here = _module(path).split(".")[2], _layer(_module(path), LEDGER_LAYERS, 2)
    ours = {name for name in imports(path) if name.startswith("masivo_engine.ledger.") and name.split(".")[2] != part}
    above = {name for name in ours if _layer(name, LEDGER_LAYERS, 2) >= here}
    assert {name for name in above if (_layer(name, LEDGER_LAYERS, 2), here) != (0, 0)} == set()


@pytest.mark.parametrize("top", ["include/masivo_engine", "plugins/masivo"])
def test_no_modules_import_each_other_in_a_circle(top):
    root = Path(top).parent
    modules = {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path
        for path in python_files(top)
    }
    edges = {
        name: {found for full in imports(path) for found in (full, full.rpartition(".")[0]) if found in modules}
        - {name}
        for name, path in modules.items()
    }
    done: set[str] = set()

    def follow(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " -> ".join((*way[way.index(name) :], name))
        if name not in done:
            for other in edges[name]:
                follow(other, (*way, name))
            done.add(name)

    for name in modules:
        follow(name, ())


def test_nothing_imports_the_folder_instead_of_the_package():
    ours = python_files("dags", "include", "plugins", "tests")
    assert {str(path) for path in ours if any(name.partition(".")[0] == "include" for name in imports(path))} == set()


@pytest.mark.parametrize("kept_out_by", ["", ".airflowignore", "masivo/.airflowignore"])
def test_airflow_executes_nothing_below_plugins_by_itself(tmp_path, kept_out_by):
    """
    Airflow runs every .py below plugins/ under its bare file name, unless one of our two
    .airflowignore keeps it out: whichever is copied.

    The first case shows that the others can fail. In a process of its own, because the harm is done
    to `sys.modules`.
    """
    (tmp_path / "masivo").mkdir()
    (tmp_path / "masivo" / "probe.py").write_text("import os\nos.environ['PROBED'] = __name__\n")
    if kept_out_by:
        shutil.copy(ROOT / "plugins" / kept_out_by, tmp_path / kept_out_by)
    program = (
        "import os, sys; from airflow import plugins_manager;"
        "plugins_manager.ensure_plugins_loaded(); sys.exit(3 if os.environ.get('PROBED') == 'probe' else 0)"
    )
    environment = os.environ | {"AIRFLOW__CORE__PLUGINS_FOLDER": str(tmp_path)}
    seen = subprocess.run([sys.executable, "-c", program], env=environment, check=False, capture_output=True)
    assert seen.returncode == (0 if kept_out_by else 3)
