"""
What a task or a command works with: the mapping, the legacy database, the ledger, the API's limits.

Everything is opened on first use and read from Airflow's connections ``legacy_db``,
``masivo_ledger`` and ``masivo_api``.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from airflow.sdk import get_current_context
from sqlalchemy import Engine

from masivo.connections import high_water, sealing
from masivo.connections.databases import ledger_engine, legacy_engine
from masivo.connections.lookup import setting
from masivo.hook import MasivoHook
from masivo_engine.delivery.lane import Lane, Priority
from masivo_engine.ledger.connection import Ledger
from masivo_engine.ledger.runs.names import name_of
from masivo_engine.ledger.runs.runs import Run, find_run
from masivo_engine.mapping.loader import Mapping, load
from masivo_engine.model.errors import MappingError, Misconfigured
from masivo_engine.model.rows import Entity
from masivo_engine.source.reader import Source


if TYPE_CHECKING:
    from airflow.sdk import Context

# The mapping of a DAG is one of its macros: Airflow reads them with the DAG's file where a task
# runs, and keeps them nowhere else.
MAPPING_MACRO = "masivo_mapping"

_ELSEWHERE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/")


def folder(written: str, called: str, wrong: type[Misconfigured] = Misconfigured) -> Path:
    """
    Return the folder of this machine that was *written* in what people call *called*; raises
    *wrong* for another place.
    """
    if found := _ELSEWHERE.match(written):
        raise wrong(
            f"{called} names a place of scheme {found[0][:-2]!r}, and audit packs are written to folders of this "
            "machine only: give a path, and copy the pack from there"
        )
    return Path(written).expanduser()


def run_name(context: Context) -> str:
    """Return what the ledger calls the run of the task that has *context*."""
    return name_of(context["ti"].dag_id, context["run_id"])


def _of_the_dag() -> tuple[str, str] | None:
    """
    Return the mapping that the DAG of the running task was made with, and that it is the DAG's;
    None outside of tasks, too.
    """
    try:
        dag = get_current_context()["dag"]
    except RuntimeError:
        return None
    named = (dag.user_defined_macros or {}).get(MAPPING_MACRO)
    return (named, f"DAG {dag.dag_id}") if named else None


class Services:
    """
    Opens what the connections name; any opening raises `Misconfigured` with one sentence.

    *kind*, to be set before the lane is used, is what its turns are for. Who *only_looks* neither
    makes nor locks a ledger.
    """

    def __init__(self, *, only_looks: bool = False) -> None:
        self._only_looks = only_looks
        self.kind = Priority.INCREMENT

    @cached_property
    def mapping(self) -> Mapping:
        """
        The mapping in use: that of the task's DAG, else environment variable, else Airflow Variable
        ``MASIVO_MAPPING``, else ``sample``.
        """
        return load(self.mapping_named[0])

    @cached_property
    def mapping_in_use(self) -> Mapping:
        """
        The mapping as this connection uses it: with the newer fields it makes other records of the
        same files, so it is another mapping to whoever compares what it makes.
        """
        mapping = self.mapping
        if not self.hook.newer_fields:
            return mapping
        content = f"{mapping.content_hash} with newer fields".encode()
        return replace(mapping, content_hash=hashlib.blake2b(content, digest_size=32).hexdigest())

    @cached_property
    def mapping_named(self) -> tuple[str, str]:
        """The mapping in use as it is named, by its name or path, and where that is from."""
        return _of_the_dag() or setting("MASIVO_MAPPING", "sample")

    @property
    def packs(self) -> Path:
        """
        The folder for audit packs: environment variable, else Airflow Variable ``MASIVO_PACKS``,
        else ``packs`` in Airflow's home.
        """
        chosen, origin = setting("MASIVO_PACKS")
        home = Path(os.environ.get("AIRFLOW_HOME") or "~/airflow")
        return folder(chosen, origin) if chosen else (home / "packs").expanduser()

    @cached_property
    def hook(self) -> MasivoHook:
        """The API."""
        return MasivoHook()

    @cached_property
    def ledger(self) -> Ledger:
        """
        The ledger of the account that the API connection names; not yet opened.

        Without a request: where only the API can say which account it is, whoever plans has a token
        by then, and whoever sends takes the lane.
        """
        memory = None if self._only_looks else high_water.memory()
        return Ledger(self.ledger_engine, self.hook.known_fingerprint, seal=sealing.seal(), memory=memory)

    @cached_property
    def lane(self) -> Lane:
        """
        The account's lane, to be used for this kind of run; whoever takes it is going to send, so
        the API is asked whose account it is.
        """
        self.ledger.belongs_to(self.hook.fingerprint)
        # By the ledger's own name: an account that is called otherwise keeps its pace.
        return Lane(self.ledger_engine, self.ledger.name, self.hook.limits, kind=self.kind)

    @cached_property
    def ledger_engine(self) -> Engine:
        """The ledger's database."""
        return ledger_engine(only_looks=self._only_looks)

    @cached_property
    def legacy_engine(self) -> Engine:
        """The legacy database, whose sessions have the mapping's zone."""
        try:
            zone = self.mapping.settings.timezone
        except MappingError:
            zone = ""  # whoever reads rows hears of it from the mapping
        return legacy_engine(zone=zone)

    def run(self, name: str) -> Run:
        """
        Return the run that the ledger calls *name*. Raises `Misconfigured` where the mapping is not
        the one that was planned with.
        """
        self.ledger.open()
        run = find_run(self.ledger, name)
        mapping = self.mapping_in_use
        if (run.mapping, run.mapping_hash) != (mapping.name, mapping.content_hash):
            msg = (
                f"the mapping changed while the run was under way: it was planned with {run.mapping} "
                f"({run.mapping_hash[:12]}), here is "
                f"{mapping.name} ({mapping.content_hash[:12]}); bring the files back and clear the "
                "task, or trigger a new run"
            )
            raise Misconfigured(msg)
        return run

    def legacy(self, entity: Entity) -> Source:
        """
        Return the rows of *entity*; raises `MappingError` where its SQL does not fit the database
        or the contract.
        """
        return Source(self.legacy_engine, self.mapping, entity, newer_fields=self.hook.newer_fields)
