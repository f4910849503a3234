from __future__ import annotations

import json
import socket
import stat

import pytest

from masivo.demo.environment import connections, environment, write_for_people
from masivo.demo.folder import Folder, free_port, is_free
from masivo.demo.legacy import build_legacy
from masivo_engine.model.errors import Misconfigured


@pytest.fixture
def folder(tmp_path):
    made = Folder(tmp_path / "demo", "sample")
    made.logs.mkdir(parents=True)
    return made


def test_a_demo_keeps_its_port_and_its_secrets_from_one_start_to_the_next(folder):
    assert folder.settings() == folder.settings()
    assert stat.S_IMODE((folder.path / "settings.json").stat().st_mode) == 0o600


def test_only_one_demo_works_in_a_folder_at_a_time(folder):
    with folder.held(), pytest.raises(Misconfigured, match="at work"), folder.held():
        pass
    with folder.held():
        pass


def test_starting_over_forgets_everything_while_the_folder_is_held(folder):
    before = folder.settings()
    folder.ledger.touch()
    with folder.held():
        folder.clear()
        assert {entry.name for entry in folder.path.iterdir()} == {"lock", "logs"}
        assert folder.settings() != before


def test_a_port_on_which_somebody_listens_is_not_free():
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        assert not is_free(port)
    assert is_free(port)


def test_a_legacy_database_is_built_once_and_not_in_another_size(folder):
    built = build_legacy(folder, 60)
    content = folder.legacy.read_bytes()
    assert build_legacy(folder, None) == build_legacy(folder, 60) == built
    assert folder.legacy.read_bytes() == content
    with pytest.raises(Misconfigured, match="was built for 60 customers; start over with FRESH=1"):
        build_legacy(folder, 61)


def test_too_small_a_legacy_database_is_refused_in_one_sentence(folder):
    with pytest.raises(Misconfigured, match="too few"):
        build_legacy(folder, 1)
    assert not folder.legacy.exists()


def test_a_legacy_database_whose_building_was_cut_short_is_built_anew(folder):
    (folder.path / "legacy.part").write_bytes(b"half of it")
    build_legacy(folder, 60)
    assert folder.legacy.exists()
    assert not (folder.path / "legacy.part").exists()


def test_nothing_of_the_callers_airflow_or_proxies_reaches_the_demo(folder, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
    monkeypatch.setenv("AIRFLOW_CONN_LEGACY_DB", "postgresql://production/")
    monkeypatch.setenv("MASIVO_MAPPING", "theirs")
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    made = environment(folder, port=18_999, is_scheduled=False)
    assert made["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
    assert json.loads(made["AIRFLOW_CONN_LEGACY_DB"])["host"] == str(folder.legacy)
    assert made["MASIVO_MAPPING"] == "sample"
    assert "https_proxy" not in made


def test_what_is_left_for_people_can_be_read_by_a_shell_and_by_nobody_else(folder):
    write_for_people(folder, connections(folder))
    assert folder.environment.read_text().startswith("export AIRFLOW_HOME=")
    assert stat.S_IMODE(folder.environment.stat().st_mode) == 0o600
