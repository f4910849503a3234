"""
What Airflow's UI gets from this project: a page *Masivo*, and among the details of each of our
tasks a button *Account* that opens its run there.

A tab of a run would be on the runs of everybody's DAGs: Airflow 3.3 shows it wherever there is a
run. Found through the entry point group ``airflow.plugins``. Every process of Airflow loads this,
tasks included, so what the pages need is imported by the API server alone, at the first look.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from inspect import isclass
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import quote, urlsplit

from airflow import settings
from airflow.configuration import conf
from airflow.plugins_manager import AirflowPlugin
from airflow.sdk.bases.operatorlink import BaseOperatorLink


_PREFIX = "/masivo"
_ROUTE = "masivo"
_OPERATORS = ("plan", "migrate", "account", "replay", "approval", "visible", "verify")

_log = logging.getLogger(__name__)

_Message = MutableMapping[str, Any]


class _Pages:
    """The pages' application, made when somebody looks."""

    async def __call__(
        self,
        scope: _Message,
        receive: Callable[[], Awaitable[_Message]],
        send: Callable[[_Message], Awaitable[None]],
    ) -> None:
        await import_module("masivo.ui.views").application()(scope, receive, send)


def _below() -> str:
    """Return the path of its host that Airflow itself may lie below."""
    return urlsplit(conf.get("api", "base_url", fallback="")).path.rstrip("/")


@cache
def _ours() -> list[type[Any]]:
    """
    Return our operators. The UI asks for each task of anybody's DAG: where ours cannot be imported,
    nobody else's may fail.
    """
    try:
        modules = [import_module(f"masivo.operators.{name}") for name in _OPERATORS]
    except Exception as error:  # noqa: BLE001 (a broken installation breaks our own DAGs alone)
        _log.warning("no task has the button Account, because Masivo's operators cannot be imported: %r", error)
        return []
    return [
        found
        for module in modules
        for found in vars(module).values()
        if isclass(found) and found.__module__ == module.__name__ and hasattr(found, "execute")
    ]


class AccountLink(BaseOperatorLink):
    """
    The button *Account*: the page of the task's run, inside Airflow's UI, at any time of the run.
    """

    name = "Account"

    @property
    def operators(self) -> list[type[Any]]:  # type: ignore[override]
        """
        All operators of ours; imported where the UI asks for a task's buttons, and nowhere else.
        """
        return _ours()

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """
        Return the address: Airflow's page of the plugin, and behind it the page that it is to show.
        """
        del operator
        run = f"runs/{quote(ti_key.dag_id, safe='')}/{quote(ti_key.run_id, safe='')}"
        return f"{_below()}/plugin/{_ROUTE}{_below()}{_PREFIX}/{run}"


class MasivoPlugin(AirflowPlugin):
    """The pages, and where the UI shows them."""

    name = "masivo"
    fastapi_apps = [{"app": _Pages(), "url_prefix": _PREFIX, "name": "Masivo"}]  # noqa: RUF012 (as AirflowPlugin has it)
    external_views = [  # noqa: RUF012
        {"name": "Masivo", "href": f"{_below()}{_PREFIX}/", "destination": "nav", "url_route": _ROUTE}
    ]
    operator_extra_links = [AccountLink()]  # noqa: RUF012

    @classmethod
    def on_load(cls, *_: Any, **__: Any) -> None:
        """
        Forget what Airflow has run of our folder by bare file names: by `import operators` somebody
        else means another file.
        """
        folder = Path(settings.PLUGINS_FOLDER or "") / "masivo"
        for name, module in list(sys.modules.items()):
            file = vars(module).get("__file__") if isinstance(module, ModuleType) else None
            if file and folder in Path(file).parents and "." not in name and name not in {"masivo", "__main__"}:
                del sys.modules[name]


# Where Airflow runs this file by its bare name, because nothing keeps the plugins folder from it,
# the entry point has the plugin already.
if __name__ != "masivo.plugin" and entry_points(group="airflow.plugins", name="masivo"):
    del MasivoPlugin
