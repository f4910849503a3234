"""
What Airflow's UI gets from this project: a page *Masivo*, and a tab *Account* in every run.

Found through the entry point group ``airflow.plugins``. Every process of Airflow loads this, tasks included, so what the pages need is
imported by the API server alone, at the first look (research/airflow33.md 1.9).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from airflow.configuration import conf
from airflow.plugins_manager import AirflowPlugin


_PREFIX = "/masivo"

_Message = MutableMapping[str, Any]


class _Pages:
    """The pages' application, made when somebody looks."""

    async def __call__(
        self,
        scope: _Message,
        receive: Callable[[], Awaitable[_Message]],
        send: Callable[[_Message], Awaitable[None]],
    ) -> None:
        await import_module("masivo.views").application()(scope, receive, send)


def _address(path: str) -> str:
    """Return *path* of the pages, where Airflow itself may lie below a path of its host."""
    below = urlsplit(conf.get("api", "base_url", fallback="")).path.rstrip("/")
    return f"{below}{_PREFIX}{path}"


class MasivoPlugin(AirflowPlugin):
    """The pages, and where the UI shows them."""

    name = "masivo"
    fastapi_apps = [{"app": _Pages(), "url_prefix": _PREFIX, "name": "Masivo"}]  # noqa: RUF012 (as AirflowPlugin has it)
    external_views = [  # noqa: RUF012
        {"name": "Masivo", "href": _address("/"), "destination": "nav", "url_route": "masivo"},
        {
            "name": "Account",
            "href": _address("/runs/{DAG_ID}/{RUN_ID}"),
            "destination": "dag_run",
            "url_route": "masivo_account",
        },
    ]
