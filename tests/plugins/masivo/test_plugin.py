"""
What every process of Airflow loads for the sake of the UI's page: next to nothing, found by its entry point.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points

import pytest
from masivo.plugin import MasivoPlugin


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
    heavy = ("fastapi", "jinja2", "masivo.views", "masivo.hook", "airflow.api_fastapi.core_api.security")
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
    ("address", "expected"),
    [
        ("http://localhost:8080", "/masivo/"),
        ("https://shop.example/airflow/", "/airflow/masivo/"),
        ("", "/masivo/"),
    ],
)
@pytest.mark.slow
def test_the_pages_lie_where_airflow_lies(address, expected):
    code = "print(*(view['href'] for view in MasivoPlugin.external_views))"
    page, account = asked(code, AIRFLOW__API__BASE_URL=address)
    assert page == expected
    assert account == f"{expected}runs/{{DAG_ID}}/{{RUN_ID}}"
