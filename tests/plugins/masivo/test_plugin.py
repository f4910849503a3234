"""
What every process of Airflow loads for the sake of the UI's page: next to nothing, found by its
entry point.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag

from masivo.plugin import MasivoPlugin


ROOT = Path(__file__).parent.parent.parent.parent


def test_airflow_finds_it_by_its_entry_point():
    (found,) = entry_points(group="airflow.plugins", name="masivo")
    assert found.load() is MasivoPlugin


def asked(code, **variables):
    """What a fresh process prints that has loaded the plugin."""
    done = subprocess.run(
        [sys.executable, "-c", f"from masivo.plugin import MasivoPlugin\n{code}"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)} | variables,
    )
    return done.stdout.split()


@pytest.mark.slow
def test_a_task_that_loads_it_pays_for_no_page():
    heavy = ("fastapi", "jinja2", "masivo.ui.views", "masivo.hook", "airflow.api_fastapi.core_api.security")
    loaded = asked("import sys; print(*sys.modules)")
    assert "masivo.plugin" in loaded
    before = subprocess.run(
        [sys.executable, "-c", "import airflow.plugins_manager, airflow.configuration, sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert set(loaded) & set(heavy) <= set(before)


@pytest.mark.parametrize(
    ("address", "below"),
    [("http://localhost:8080", ""), ("https://shop.example/airflow/", "/airflow"), ("", "")],
)
@pytest.mark.slow
def test_the_pages_lie_where_airflow_lies(address, below):
    code = """
from types import SimpleNamespace
(view,), (link,) = MasivoPlugin.external_views, MasivoPlugin.operator_extra_links
print(view['href'], link.get_link(None, ti_key=SimpleNamespace(dag_id='masivo_sync', run_id='manual__1+00:00')))
"""
    page, button = asked(code, AIRFLOW__API__BASE_URL=address)
    assert page == f"{below}/masivo/"
    assert button == f"{below}/plugin/masivo{below}/masivo/runs/masivo_sync/manual__1%2B00%3A00"


def test_every_task_of_ours_has_the_button_and_nobody_elses():
    (link,) = MasivoPlugin.operator_extra_links
    with_button = {(found.__module__, found.__name__) for found in link.operators}
    assert {module.partition(".")[0] for module, _ in with_button} == {"masivo"}
    dags = DagBag(dag_folder=str(ROOT / "dags")).dags.values()
    operators = {getattr(task, "operator_class", type(task)) for dag in dags for task in dag.tasks}
    assert len(dags) >= 4
    assert {(found.__module__, found.__name__) for found in operators} <= with_button


def test_an_installation_that_is_broken_spoils_nobody_elses_tasks():
    code = """
import sys
sys.modules['masivo_engine.model.rows'] = None
(link,) = MasivoPlugin.operator_extra_links
print(len(link.operators))
"""
    assert asked(code)[-1] == "0"
