"""
The services of docker-compose.yaml as processes of this machine: their commands, environments and
health checks as the file has them.

What stands for what an engine would do, and nothing else is changed:

* paths: of the image, its volumes and /run/secrets are folders of the test's
* names: of other services are 127.0.0.1, each service's port a free one; two workers are told apart
  by ``--celery-hostname``
* databases: of the PostgreSQL image are databases and roles on a server that runs, made with the
  names' and passwords' files
* the image's entry point: runs `bash`, `python`, `sh` as they stand and puts `airflow` before
  anything else
* HOSTNAME: is what a container would find there; AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE is off, so
  that only the test starts runs
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import URL, create_engine, text

from masivo.demo.folder import free_port
from masivo.demo.processes import Program, Programs
from tests.production import composefile, image


_AS_THEY_STAND = {"bash", "python", "sh"}
DATABASES = ("airflow-db", "ledger-db", "legacy")


class Machine:
    """
    Everything that ``docker compose up`` would give the services: an image, secrets, volumes,
    databases, ports.

    *given* are variables for the .env file, *edit* may change the connections as a user would.
    """

    def __init__(
        self, folder: Path, built: image.Image, server: URL, given: dict[str, str], edit: Callable[[str], str]
    ) -> None:
        self.folder = folder
        self._image = built
        self._server = server
        # a number comes again; what a killed test left must not matter
        self._mark = f"masivo_test_{os.getpid()}_{uuid.uuid4().hex[:8]}"
        self._files(edit)
        given = composefile.variables(folder / ".env") | given
        self.services = composefile.services(folder / "docker-compose.yaml", given)
        self._handed_out: set[int] = set()
        self.ports = {name: self._port() for name in ("api-server", "scheduler", "redis", "sandbox")}
        self.programs = Programs(folder / "programs", patience_s=4.0)
        self._started: list[Program] = []
        self._instead = self._substitutions()
        for file in sorted((folder / "secrets").iterdir()):
            file.write_text(self.here(file.read_text()))

    def here(self, words: str) -> str:
        """Return *words* of the file with this machine's paths, names and ports."""
        for theirs, ours in self._instead.items():
            words = words.replace(theirs, ours)
        return words

    def environment(self, name: str, *, hostname: str = "") -> dict[str, str]:
        """Return the whole environment of a service's process."""
        own = {variable: self.here(value) for variable, value in self.services[name].environment.items()}
        return image.environment(self._image) | own | self._beside(hostname, self._log_port(hostname or name))

    def start(self, name: str, *options: str, hostname: str = "", **more: str) -> Program:
        """Start a service that stays."""
        command = self._command(name, options)
        called = hostname or name
        log = self.folder / "logs" / f"{called}.log"
        environment = self.environment(name, hostname=hostname) | more
        self._started.append(self.programs.launch(called, command, environment, log, folder=self._image.home))
        return self._started[-1]

    def is_healthy(self, name: str, *, hostname: str = "") -> bool:
        """Carry out the health check of a service once."""
        command = [self.here(word) for word in self.services[name].health]
        check = subprocess.run(
            command,
            env=self.environment(name, hostname=hostname),
            cwd=self._image.home,
            check=False,
            capture_output=True,
            timeout=60,
        )
        return check.returncode == 0

    def run(self, name: str, *command: str) -> subprocess.CompletedProcess[str]:
        """Run *command* in a service's environment, as ``docker compose exec`` would."""
        return subprocess.run(
            command,
            env=self.environment(name),
            cwd=self._image.home,
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def reap(self) -> None:
        """Take note of the end of every program."""
        for program in self._started:
            program.process.wait(timeout=30)

    def secret(self, name: str) -> str:
        """Return what a file of secrets/ holds."""
        return (self.folder / "secrets" / name).read_text()

    @contextmanager
    def databases(self) -> Iterator[None]:
        """
        Make roles and databases as the PostgreSQL image does from a service's environment; drop
        them at the end.
        """
        engine = create_engine(self._server, isolation_level="AUTOCOMMIT")
        made = []
        with engine.connect() as connection:
            for name in DATABASES:
                asked = {key: self.here(value) for key, value in self.services[name].environment.items()}
                file = asked.get("POSTGRES_PASSWORD_FILE")
                password = Path(file).read_text() if file else asked["POSTGRES_PASSWORD"]
                made.append(role := self._unique(asked["POSTGRES_USER"]))
                connection.execute(text(f"CREATE ROLE {role} LOGIN PASSWORD '{password}'"))
                connection.execute(text(f"CREATE DATABASE {role} OWNER {role}"))
        try:
            yield
        finally:
            with engine.connect() as connection:
                for role in made:
                    connection.execute(text(f"DROP DATABASE {role} WITH (FORCE)"))
                    connection.execute(text(f"DROP ROLE {role}"))
            engine.dispose()

    def _command(self, name: str, options: tuple[str, ...]) -> list[str]:
        words = [self.here(word) for word in self.services[name].command]
        is_airflow = self.services[name].is_ours and words[0] not in _AS_THEY_STAND
        return [*(["airflow"] if is_airflow else []), *words, *options]

    def _files(self, edit: Callable[[str], str]) -> None:
        """
        Do what a user does first: copy the project, ``sh deploy/secrets.sh``, perhaps edit the
        connections.
        """
        for name in ("docker-compose.yaml", ".env.example"):
            shutil.copy(image.ROOT / name, self.folder)
        shutil.copytree(image.ROOT / "deploy", self.folder / "deploy")
        subprocess.run(["sh", self.folder / "deploy" / "secrets.sh"], check=True, capture_output=True)
        connections = self.folder / "secrets" / "connections.yaml"
        connections.write_text(edit(connections.read_text()))
        for volume in ("logs", "volume-logs", "volume-sandbox"):
            (self.folder / volume).mkdir()

    def _substitutions(self) -> dict[str, str]:
        api, sandbox = self.ports["api-server"], self.ports["sandbox"]
        where = f"{self._server.host}:{self._server.port or 5432}"
        databases = {
            old: f"{self._unique(user)}:{rest}@{where}/{self._unique(user)}"
            for user, host in (("airflow", "airflow-db"), ("ledger", "ledger-db"), ("legacy", "legacy"))
            for rest in (self._password(user),)
            for old in (f"{user}:{rest}@{host}:5432/{user}",)
        }
        return databases | {
            "/opt/airflow/logs": str(self.folder / "volume-logs"),
            "/opt/airflow/sandbox": str(self.folder / "volume-sandbox"),
            image.HOME: str(self._image.home),
            "/run/secrets": str(self.folder / "secrets"),
            "http://api-server:8080": f"http://127.0.0.1:{api}",
            "http://localhost:8080": f"http://127.0.0.1:{api}",
            "http://localhost:8974": f"http://127.0.0.1:{self.ports['scheduler']}",
            "http://localhost:8099": f"http://127.0.0.1:{sandbox}",
            "host: sandbox": "host: 127.0.0.1",
            "port: 8099": f"port: {sandbox}",
            "0.0.0.0": "127.0.0.1",
            "8099": str(sandbox),
            "@redis:6379": f"@127.0.0.1:{self.ports['redis']}",
            "redis-server ": f"redis-server --port {self.ports['redis']} ",
            "redis-cli ": f"redis-cli -p {self.ports['redis']} ",
            "pg_isready ": f"pg_isready --port={self._server.port or 5432} ",
        }

    def _beside(self, hostname: str, log_port: int) -> dict[str, str]:
        return {
            "HOSTNAME": hostname or socket.getfqdn(),
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self.ports["api-server"]),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(log_port),
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(log_port),
            "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT": str(self.ports["scheduler"]),
            "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "false",
        }

    def _log_port(self, called: str) -> int:
        """
        Return where a service serves its logs: containers may all have the same port, processes may
        not.
        """
        if (name := f"{called}, logs") not in self.ports:
            self.ports[name] = self._port()
        return self.ports[name]

    def _port(self) -> int:
        """Return a free port that no other service has been given, though it may not listen yet."""
        while (port := free_port()) in self._handed_out:
            pass
        self._handed_out.add(port)
        return port

    def _password(self, user: str) -> str:
        file = self.folder / "secrets" / f"{user}_db_password"
        return file.read_text() if file.exists() else user

    def _unique(self, user: str) -> str:
        return f"{self._mark}_{user}"


def kill(program: Program) -> int:
    """
    End a program and all that it started with SIGKILL, as the death of its container would; return
    how many.
    """
    members = [process for process in psutil.process_iter() if _session(process) == program.process.pid]
    for process in members:
        process.send_signal(signal.SIGKILL)
    program.process.wait()
    return len(members)


def is_of(program: Program, pid: int) -> bool:
    """Whether the process *pid* was started by *program*."""
    return _session(psutil.Process(pid)) == program.process.pid


def _session(process: psutil.Process) -> Any:
    try:
        return os.getsid(process.pid)
    except OSError:
        return None
