"""
The page in Airflow's UI: all runs of the ledger, and the account and the plan of one, also while it
is under way.

Only the API server imports this module (`masivo.plugin`). Who may not see a DAG's runs in Airflow
sees nothing of them here. Nothing can be changed here, and nothing of a customer is shown: counts,
points, reasons, and what Airflow calls its runs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from urllib.parse import quote

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import Depends, FastAPI, Request
from fastapi.responses import HTMLResponse
from sqlalchemy.exc import SQLAlchemyError

from masivo.services import Services
from masivo_engine.ledger.connection import Ledger
from masivo_engine.ledger.runs.names import SYNC, in_airflow, name_of
from masivo_engine.ledger.runs.runs import has_run
from masivo_engine.ledger.verification import outcomes
from masivo_engine.model.errors import EmptyLedger, MigrationError
from masivo_engine.model.limits import Limits
from masivo_engine.reports.pages.live_page import message_page, plan_as_it_stands, run_page, runs_page


_VERIFY = "masivo_verify"
_HAVE_RUNS = frozenset({"masivo_plan", SYNC, "masivo_sweep", "masivo_replay"})

# The pages are whole as they are: no script, nothing from elsewhere, and in no frame but Airflow's
# own.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

_log = logging.getLogger(__name__)

_Page = Callable[[Ledger, Limits], str]


class _Nothing(Exception):
    """There is nothing to show; the sentence says why."""


@cache
def application() -> FastAPI:
    """Return the application that answers below ``/masivo``."""
    app = FastAPI(title="Masivo", docs_url=None, redoc_url=None, openapi_url=None)
    of_sync = Depends(requires_access_dag("GET", DagAccessEntity.RUN, SYNC))
    of_its_dag = Depends(requires_access_dag("GET", DagAccessEntity.RUN))

    @app.get("/", dependencies=[of_sync])
    def runs(request: Request) -> HTMLResponse:
        return _answer(request, lambda ledger, limits: runs_page(ledger, limits, lambda name: _address(request, name)))

    @app.get("/runs/{dag_id}/{run_id:path}/plan", dependencies=[of_its_dag])
    def plan(request: Request, dag_id: str, run_id: str) -> HTMLResponse:
        return _of_run(request, dag_id, run_id, lambda ledger, _, name: plan_as_it_stands(ledger, name))

    @app.get("/runs/{dag_id}/{run_id:path}", dependencies=[of_its_dag])
    def run(request: Request, dag_id: str, run_id: str) -> HTMLResponse:
        def page(ledger: Ledger, limits: Limits, name: str) -> str:
            links = {"all": _root(request), "plan": f"{_address(request, name)}/plan"}
            return run_page(ledger, name, limits, links)

        return _of_run(request, dag_id, run_id, page)

    return app


def _of_run(request: Request, dag_id: str, run_id: str, page: Callable[[Ledger, Limits, str], str]) -> HTMLResponse:
    """
    Answer with the page of the run that Airflow calls *run_id* of *dag_id*; other DAGs' runs have
    none.
    """
    if dag_id not in {*_HAVE_RUNS, _VERIFY}:
        return _said(request, "This run is of another DAG: it sends nothing to Masivo and has no account.", 404)
    return _answer(request, lambda ledger, limits: page(ledger, limits, _name(ledger, dag_id, run_id)) or _no_plan())


def _answer(request: Request, page: _Page) -> HTMLResponse:
    """
    Make a page from the ledger as it is now, or one that says in a sentence why there is none.
    """
    place = Services(only_looks=True)
    try:
        engine = place.ledger_engine
        try:
            place.ledger.open()
            return HTMLResponse(page(place.ledger, place.hook.limits), headers=_HEADERS)
        finally:
            engine.dispose()
    except EmptyLedger:
        return _said(
            request, "No run has written to the ledger yet, as far as can be seen from Airflow's API server.", 404
        )
    except _Nothing as nothing:
        return _said(request, str(nothing), 404)
    except (MigrationError, SQLAlchemyError) as error:
        # What it says names hosts, users and paths: for the administrator, not for everybody who
        # may look.
        _log.warning("Masivo's page cannot be made: %s", error)
        return _said(request, "The ledger cannot be read here; the log of Airflow's API server says why.", 503)


def _said(request: Request, sentence: str, status: int) -> HTMLResponse:
    return HTMLResponse(message_page(sentence, _root(request)), status, headers=_HEADERS)


def _name(ledger: Ledger, dag_id: str, run_id: str) -> str:
    """Return what the ledger calls a run; of one that reads back, the newest run that it reads."""
    if dag_id == _VERIFY:
        read = outcomes.runs_of(ledger, run_id)
        if not read:
            raise _Nothing("This read-back has chosen nobody, so there is nothing to show.")
        return read[-1]
    name = name_of(dag_id, run_id)
    if not has_run(ledger, name):
        raise _Nothing("The ledger does not know this run: its plan has not entered it.")
    return name


def _no_plan() -> str:
    raise _Nothing("This run has no plan.")


def _root(request: Request) -> str:
    return f"{request.scope.get('root_path', '').rstrip('/')}/"


def _address(request: Request, name: str) -> str:
    dag_id, run_id = in_airflow(name)
    return f"{_root(request)}runs/{quote(dag_id, safe='')}/{quote(run_id, safe='')}"
