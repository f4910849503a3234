"""
The factory of the DAGs: a file of a team's own is a few lines long, and its mapping lies beside it.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.execution_time.context import set_current_context
from airflow.serialization.serialized_objects import DagSerialization

from masivo.dags import migration
from masivo.services import Services
from masivo_engine.model.errors import MappingError, Misconfigured
from tests.mapping_folder import write
from tests.team import OURS


DAGS = {"masivo_plan", "masivo_sync", "masivo_sweep", "masivo_replay", "masivo_verify"}


@pytest.fixture
def bag(tmp_path):
    """What Airflow finds in a folder with that file and that mapping."""
    write(tmp_path / "loyalty", {})
    (tmp_path / "masivo.py").write_text(OURS)
    return DagBag(dag_folder=str(tmp_path))


def test_it_is_the_file_that_people_are_told_to_write():
    assert OURS in (Path(__file__).parents[4] / "docs" / "install.md").read_text()


def test_a_file_of_a_few_lines_makes_all_five(bag, tmp_path):
    assert bag.import_errors == {}
    assert set(bag.dags) == DAGS
    for dag in bag.dags.values():
        assert Path(dag.fileloc) == tmp_path / "masivo.py"
        assert "It failed, now what" in dag.doc_md


@pytest.mark.parametrize("name", sorted(DAGS))
def test_a_task_uses_the_mapping_beside_its_dag_and_what_the_environment_names_does_not_matter(
    bag, tmp_path, monkeypatch, name
):
    monkeypatch.setenv("MASIVO_MAPPING", "woocommerce")
    services = Services()
    with set_current_context({"dag": bag.dags[name]}):
        assert services.mapping.folder == tmp_path / "loyalty"
        assert services.mapping_named == (str(tmp_path / "loyalty"), f"DAG {name}")


def test_without_one_a_task_uses_what_the_environment_names_where_it_runs(monkeypatch):
    monkeypatch.setenv("MASIVO_MAPPING", "woocommerce")
    with set_current_context({"dag": migration()["masivo_sync"]}):
        assert Services().mapping.name == "woocommerce"


@pytest.mark.usefixtures("bag")
def test_a_command_uses_what_the_environment_names(monkeypatch):
    monkeypatch.setenv("MASIVO_MAPPING", "woocommerce")
    assert Services().mapping_named == ("woocommerce", "environment variable MASIVO_MAPPING")


def test_where_the_mapping_lies_is_no_part_of_what_airflow_stores(bag, tmp_path):
    """Or every new checkout of a team's repository would be a new version of the DAG."""
    stored = {name: DagSerialization.to_dict(dag)["dag"] for name, dag in bag.dags.items()}
    assert str(tmp_path / "loyalty") not in json.dumps(stored, default=str)


def test_a_mapping_that_is_ready_goes_by_its_name():
    with set_current_context({"dag": migration("masivo_sync", mapping="opencart")["masivo_sync"]}):
        assert Services().mapping.name == "opencart"


def test_a_mapping_that_is_not_there_is_said_where_airflow_shows_it(tmp_path):
    (tmp_path / "masivo.py").write_text(OURS)
    (error,) = DagBag(dag_folder=str(tmp_path)).import_errors.values()
    assert "there is no such mapping and no such folder" in error
    with pytest.raises(MappingError, match="no such mapping"):
        migration(mapping="loyalti")


def test_each_can_have_a_file_of_its_own():
    assert set(migration("masivo_plan", "masivo_verify")) == {"masivo_plan", "masivo_verify"}
    with pytest.raises(Misconfigured, match="there are no DAGs loyalty; there are masivo_plan"):
        migration("loyalty")
