"""
deploy/helm/values.yaml without a cluster: keys that the chart documents, options that Airflow has,
secrets that the page makes.
"""

from __future__ import annotations

import re
from pathlib import Path

import airflow
import pytest
import yaml

from tests.production import image


VALUES = yaml.safe_load((image.ROOT / "deploy" / "helm" / "values.yaml").read_text())
PAGE = (image.ROOT / "docs" / "kubernetes.md").read_text()

# Keys of the chart that have a meaning in it, by its own documents (chart 1.19): values.yaml,
# "Production Guide" (secrets, databases, workers.celery) and "Setting resources for containers".
# What Helm does not know it ignores without a word.
KNOWN = {
    "airflowVersion": None,
    "images": {"airflow": {"repository", "tag", "pullPolicy"}},
    "executor": None,
    "uid": None,
    "gid": None,
    "securityContexts": {"pod": None, "containers": None},
    "postgresql": {"enabled"},
    "redis": {"enabled"},
    "data": {"metadataSecretName", "resultBackendSecretName", "brokerUrlSecretName"},
    "fernetKeySecretName": None,
    "apiSecretKeySecretName": None,
    "jwtSecretName": None,
    "secret": None,
    "env": None,
    "config": None,
    "apiServer": {"resources"},
    "scheduler": {"resources"},
    "dagProcessor": {"resources"},
    "triggerer": {"resources"},
    "workers": {"celery": {"replicas", "terminationGracePeriodSeconds", "resources"}},
}


def test_every_key_is_one_that_the_chart_documents():
    assert list(_unknown(VALUES, KNOWN)) == []


def _unknown(values, known, path=""):
    for key, value in values.items():
        if key not in known:
            yield f"{path}{key}"
        elif isinstance(known, dict) and isinstance(known[key], (dict, set)):
            yield from _unknown(value, known[key], f"{path}{key}.")


def test_a_misspelt_key_would_be_found():
    assert list(_unknown({"workers": {"celery": {"replica": 2}}, "image": 1}, KNOWN)) == [
        "workers.celery.replica",
        "image",
    ]


@pytest.mark.parametrize("section", VALUES["config"])
def test_every_option_is_one_that_this_airflow_has(section):
    options = yaml.safe_load((Path(airflow.__file__).parent / "config_templates" / "config.yml").read_text())
    if section == "celery":
        # the Celery provider's, which is in the image and not in this environment;
        # docker-compose.yaml sets the same one
        assert set(VALUES["config"][section]) == {"worker_concurrency"}
        assert "AIRFLOW__CELERY__WORKER_CONCURRENCY" in (image.ROOT / "docker-compose.yaml").read_text()
        return
    assert set(VALUES["config"][section]) <= options[section]["options"].keys()


def test_what_compose_sets_about_dead_workers_kubernetes_sets_too():
    compose = (image.ROOT / "docker-compose.yaml").read_text()
    for section in ("scheduler", "workers"):
        for option, value in VALUES["config"][section].items():
            assert f'AIRFLOW__{section}__{option}: "{value}"'.upper() in compose.upper()


def test_the_version_is_the_one_of_the_requirements():
    assert f"apache-airflow=={VALUES['airflowVersion']}" in (image.ROOT / "requirements.txt").read_text()


def test_the_page_makes_every_secret_that_the_values_name_with_the_key_that_is_read():
    made = {name: set(re.findall(r"--from-literal=([\w-]+)=", rest)) for name, rest in _commands()}
    wanted = {VALUES["data"]["metadataSecretName"]: {"connection"}, VALUES["fernetKeySecretName"]: {"fernet-key"}}
    wanted |= {VALUES["apiSecretKeySecretName"]: {"api-secret-key"}, VALUES["jwtSecretName"]: {"jwt-secret"}}
    for item in VALUES["secret"]:
        wanted.setdefault(item["secretName"], set()).add(item["secretKey"])
    assert made == wanted


def _commands():
    joined = PAGE.replace("\\\n", " ")
    return re.findall(r"create secret generic (\S+) (.*)", joined)
