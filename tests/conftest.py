"""
What every test may ask for: a place of its own for Airflow, and databases on real servers.

``legacy_url`` and ``ledger_url`` run a test once per dialect that is there.
"""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import URL

from tests import leftovers, servers


ROOT = Path(__file__).parent.parent
DIALECTS = ("sqlite", "postgres", "mariadb")

# Airflow reads its settings when it is imported, so they must stand before the first test module
# is: a home of its own (never ~/airflow), this checkout's folders, and no proxy between a test and
# its own servers.
_HOME = Path(tempfile.mkdtemp(prefix="masivo-airflow-"))
os.environ.update(
    AIRFLOW_HOME=str(_HOME),
    AIRFLOW__CORE__DAGS_FOLDER=str(ROOT / "dags"),
    AIRFLOW__CORE__PLUGINS_FOLDER=str(ROOT / "plugins"),
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__CORE__UNIT_TEST_MODE="False",
    NO_PROXY="127.0.0.1,localhost",
    no_proxy="127.0.0.1,localhost",
)

# The cores are shared: how long an example takes says nothing about the code. CI draws the same
# examples each time, so that a change is judged by what it changes; new ones are drawn wherever
# people run the tests.
settings.register_profile("masivo", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("masivo"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "masivo")


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    """No module of tests changes the process by being imported."""
    if not isinstance(collector, pytest.Module):
        return (yield)
    import airflow.settings  # noqa: F401, PLC0415 (what Airflow changes is not their fault; only now, since it reads the settings above)

    try:
        with leftovers.none_of(f"importing {collector.nodeid}"):
            report = yield
    except leftovers.LeftBehind as left:
        report.outcome, report.longrepr = "failed", str(left)
    return report


@pytest.fixture(scope="module", autouse=True)
def _module_puts_back(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a module's fixtures set, on purpose, for all of its tests, ends with it."""
    with leftovers.none_of(f"a fixture of {request.node.nodeid}"):
        yield


@pytest.fixture(autouse=True)
def _test_puts_back(request: pytest.FixtureRequest) -> Iterator[None]:
    """The next test finds what this one found."""
    with leftovers.none_of(request.node.nodeid):
        yield


@pytest.fixture
def commands() -> Iterator[None]:
    """A command that is called within this process may change it as if it were its own."""
    with leftovers.put_back():
        yield


@pytest.fixture(scope="module", autouse=True)
def _swept(request: pytest.FixtureRequest) -> Iterator[None]:
    """
    What tests of whole programs leave to the garbage (their clients' sockets, programs that a guard
    ends) is not the next test's fault.
    """
    yield
    mine = (item for item in request.session.items if item.path == request.path)
    if any(item.get_closest_marker("airflow") for item in mine):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            gc.collect()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """
    Leave what needs a MariaDB to the slow tests: `make test` has SQLite and PostgreSQL, and needs
    no server that is not there.

    And where several processes share the files among them, begin with those that take longest, so
    that none is left for the end. They are known by the time limit that a test of theirs has been
    given for itself.
    """
    for item in items:
        chosen = (
            item.callspec.params.values() if isinstance(item, pytest.Function) and hasattr(item, "callspec") else ()
        )
        if "mariadb" in chosen or {"mariadb_server", "mariadb_url"} & {*getattr(item, "fixturenames", ())}:
            item.add_marker(pytest.mark.slow)
    if not hasattr(config, "workerinput"):
        return
    longest: defaultdict[Path, float] = defaultdict(float)
    for item in items:
        if limit := item.get_closest_marker("timeout"):
            longest[item.path] = max(longest[item.path], *limit.args)
    items.sort(key=lambda item: -longest[item.path])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Where servers are required, nothing is skipped: what is absent is named, by a failure."""
    report = yield
    if servers.REQUIRED and report.skipped and not hasattr(report, "wasxfail"):
        why = report.longrepr[-1].removeprefix("Skipped: ")
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} would be skipped, and MASIVO_REQUIRE_SERVERS=1 allows none: {why}"
    return report


def pytest_unconfigure() -> None:
    shutil.rmtree(_HOME, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[URL]:
    """
    A PostgreSQL server; see `servers.fresh_database` for a database on it that lives longer than
    one test.
    """
    if servers.answers(servers.POSTGRES):
        yield servers.POSTGRES
        return
    if servers.REQUIRED:
        pytest.fail(f"no PostgreSQL answers at {servers.POSTGRES!r}, and MASIVO_REQUIRE_SERVERS=1 demands one")
    with servers.embedded_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb_server() -> URL:
    """A MariaDB or MySQL server; without one the test is skipped."""
    if not servers.answers(servers.MARIADB):
        pytest.skip(f"no MariaDB answers at {servers.MARIADB!r}; set MASIVO_TEST_MARIADB to test on one")
    return servers.MARIADB


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A database file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'database.sqlite'}"


@pytest.fixture
def postgres_url(postgres_server: URL) -> Iterator[str]:
    """A new, empty PostgreSQL database."""
    with servers.fresh_database(postgres_server) as url:
        yield url


@pytest.fixture
def mariadb_url(mariadb_server: URL) -> Iterator[str]:
    """A new, empty MariaDB database."""
    with servers.fresh_database(mariadb_server) as url:
        yield url


@pytest.fixture(scope="session")
def airflow_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Airflow's own database, empty and of this version, in a SQLite file; to be copied."""
    home = tmp_path_factory.mktemp("airflow-database")
    variables = os.environ | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
    }
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], env=variables, check=True, capture_output=True)
    return home / "airflow.db"


@pytest.fixture(params=DIALECTS)
def legacy_url(request: pytest.FixtureRequest) -> str:
    """An empty database to play the legacy one, on each dialect in turn."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture(params=DIALECTS)
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """
    An empty database to hold a ledger, on each dialect in turn; never the one of `legacy_url`.
    """
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'ledger.sqlite'}"
        return
    with servers.fresh_database(request.getfixturevalue(f"{request.param}_server")) as url:
        yield url


@pytest.fixture
def memory():
    """A folder where a commit does not wait for a disk, for tests that are not about disks."""
    where = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="masivo-test-", dir=where if where.is_dir() else None) as folder:
        yield Path(folder)
