"""
docker-compose.yaml, deploy/secrets.sh and the Dockerfile as they are read: clean for compose
itself, closed to the outside, no secret where it could be seen.
"""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
from pathlib import Path

import airflow
import pytest
import yaml

from tests.production import composefile, image


NEEDS = (
    "docker-compose.yaml is not held against compose itself: neither `docker compose` nor docker-compose is installed"
)
ENDING = {"init", "legacy-sample"}


@pytest.fixture
def project(tmp_path):
    """The project as a user has it after ``sh deploy/secrets.sh``."""
    for name in ("docker-compose.yaml", ".env.example"):
        shutil.copy(image.ROOT / name, tmp_path)
    shutil.copytree(image.ROOT / "deploy", tmp_path / "deploy")
    _secrets(tmp_path)
    return tmp_path


@pytest.fixture
def services(project):
    return composefile.services(project / "docker-compose.yaml", composefile.variables(project / ".env"))


@pytest.fixture(scope="session")
def compose():
    """
    The command that is Docker Compose here: the plugin, or Debian's package; both read files
    without an engine.
    """
    for command in (["docker", "compose"], ["docker-compose"]):
        if (
            shutil.which(command[0])
            and not subprocess.run([*command, "version"], check=False, capture_output=True).returncode
        ):
            return command
    return pytest.skip(NEEDS)


def _secrets(folder):
    subprocess.run(["sh", folder / "deploy" / "secrets.sh"], check=True, capture_output=True)


def _config(compose, project, profile):
    config = [*compose, "--file", "docker-compose.yaml", "--profile", profile, "config"]
    return subprocess.run(config, cwd=project, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("profile", ["none", "sandbox", "sample"])
def test_compose_takes_the_file_with_every_profile(compose, project, profile):
    (project / ".env").write_text(
        (project / ".env").read_text().replace("COMPOSE_PROFILES=sample", "COMPOSE_PROFILES=")
    )
    read = yaml.safe_load(_config(compose, project, profile))["services"]
    optional = {"none": set(), "sandbox": {"sandbox"}, "sample": {"sandbox", "legacy", "legacy-sample"}}[profile]
    staying = {"api-server", "scheduler", "dag-processor", "triggerer", "worker", "redis", "airflow-db", "ledger-db"}
    enabled = {name for name, text in read.items() if profile in text.get("profiles", [profile])}
    assert enabled == staying | {"init"} | optional


def test_this_tests_own_reading_of_the_file_is_composes(compose, project, services):
    read = yaml.safe_load(_config(compose, project, "sample").replace("$$", "$"))["services"]
    assert read.keys() == services.keys()
    for name, service in services.items():
        theirs = read[name]
        assert service.command == composefile.words(theirs.get("command") or [])
        assert service.environment == {key: str(value) for key, value in (theirs.get("environment") or {}).items()}
        test = (theirs.get("healthcheck") or {}).get("test") or ["CMD"]
        assert service.health == (["sh", "-c", test[1]] if test[0] == "CMD-SHELL" else test[1:])


def test_no_secret_is_in_what_compose_makes_of_the_file(project, services):
    values = {file.read_text() for file in (project / "secrets").iterdir()}
    assert len(values) == len(list((project / "secrets").iterdir()))
    said = str([service.text for service in services.values()])
    assert [value for value in values if value in said] == []


def test_a_service_reads_the_secrets_that_it_is_given_and_only_those(project, services):
    for service in services.values():
        text = str([service.command, list(service.environment.values()), service.health])
        assert set(re.findall(r"/run/secrets/([\w.]+)", text)) == set(service.text.get("secrets", []))
        assert set(service.text.get("secrets", [])) <= {file.name for file in (project / "secrets").iterdir()}


def test_every_setting_of_airflow_is_one_that_this_version_has(services):
    options = yaml.safe_load((Path(airflow.__file__).parent / "config_templates" / "config.yml").read_text())
    known = {f"AIRFLOW__{section}__{name}".upper() for section, text in options.items() for name in text["options"]}
    known |= {
        f"AIRFLOW__CELERY__{name}" for name in ("BROKER_URL", "RESULT_BACKEND", "WORKER_CONCURRENCY")
    }  # the provider's
    settings = {name for service in services.values() for name in service.environment if name.startswith("AIRFLOW__")}
    assert {name.removesuffix("_CMD") for name in settings} - known == set()


def test_every_service_is_limited_and_whatever_stays_is_checked_and_comes_back(services):
    for name, service in services.items():
        assert service.text["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}, name
        assert (service.text["restart"] == "no") == (name in ENDING), name
        assert bool(service.health) == (name not in ENDING), name


def test_what_runs_our_image_is_not_root_and_can_become_no_more(services):
    uid = int(composefile.variables(image.ROOT / ".env.example").get("AIRFLOW_UID", 50000))
    assert uid != 0
    for service in services.values():
        if service.is_ours or service.name == "redis":
            assert re.fullmatch(r"[1-9]\d*:0", service.text["user"]), service.name
            assert service.text["cap_drop"] == ["ALL"]
            assert service.text["security_opt"] == ["no-new-privileges:true"]


def test_nothing_listens_beyond_this_machine(services):
    ports = [port for service in services.values() for port in service.text.get("ports", [])]
    assert ports
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_the_secrets_are_their_owners_alone_and_are_made_once(project):
    before = {file.name: file.read_bytes() for file in (project / "secrets").iterdir()} | {
        ".env": (project / ".env").read_bytes()
    }
    _secrets(project)
    after = {file.name: file.read_bytes() for file in (project / "secrets").iterdir()} | {
        ".env": (project / ".env").read_bytes()
    }
    assert after == before
    assert stat.S_IMODE((project / "secrets").stat().st_mode) == 0o700
    owners = {file.stat().st_uid for file in (project / "secrets").iterdir()}
    assert {stat.S_IMODE(file.stat().st_mode) for file in (*(project / "secrets").iterdir(), project / ".env")} == {
        0o600
    }
    assert {str(owner) for owner in owners} == {composefile.variables(project / ".env")["AIRFLOW_UID"]}
    assert "0" not in {str(owner) for owner in owners}


def test_the_image_is_the_airflow_of_the_requirements_and_is_left_as_another_than_root():
    steps = image.steps(image.ROOT / "Dockerfile")
    version = re.search(r"^apache-airflow==(\S+)$", (image.ROOT / "requirements.txt").read_text(), re.MULTILINE)[1]
    base = next(rest for name, rest in steps if name == "ARG")
    assert base.startswith(f"AIRFLOW_IMAGE=apache/airflow:slim-{version}-")
    assert [rest for name, rest in steps if name == "USER"][-1] == "airflow"
    installs = [rest for name, rest in steps if name == "RUN" and "pip install" in rest]
    assert all("--require-hashes" in rest or "--no-deps" in rest for rest in installs)
