"""
Airflow's Variables for tests that run tasks without a supervisor: kept in a file, so that several
processes have the same.

Connections and everything else come from the environment, as for a task whose Airflow has none.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import (
    DeleteVariable,
    ErrorResponse,
    GetVariable,
    GetVariableKeys,
    PutVariable,
    VariableKeysResult,
    VariableResult,
)


_WHERE = "MASIVO_TEST_VARIABLES"


class Variables:
    """
    What stands in Airflow's database; *fails* names messages that get no answer, and after
    *most_writes* none is taken.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.fails: set[str] = set()
        self.most_writes: int | None = None
        self.reads = self.writes = 0

    def all(self) -> dict[str, str]:
        """Return what is set."""
        return json.loads(self.file.read_text()) if self.file.exists() else {}

    def replace(self, values: dict[str, str]) -> None:
        """Set *values*, and no others."""
        new = self.file.with_name(f"{self.file.name}.{os.getpid()}")
        new.write_text(json.dumps(values))
        new.replace(self.file)

    def send(self, message: Any) -> Any:
        """Answer a task as its supervisor does."""
        failed = ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={})
        if type(message).__name__ in self.fails:
            if isinstance(message, GetVariable):
                return failed
            raise AirflowRuntimeError(failed)
        match message:
            case GetVariable():
                self.reads += 1
                value = self.all().get(message.key)
                missing = ErrorResponse(error=ErrorType.VARIABLE_NOT_FOUND, detail={})
                return missing if value is None else VariableResult(key=message.key, value=value)
            case GetVariableKeys():
                names = sorted(name for name in self.all() if name.startswith(message.prefix or ""))
                return VariableKeysResult(keys=names, total_entries=len(names))
            case PutVariable():
                if self.writes == self.most_writes:
                    raise AirflowRuntimeError(failed)
                self.writes += 1
                self.replace(self.all() | {message.key: message.value or ""})
            case DeleteVariable():
                self.replace({name: value for name, value in self.all().items() if name != message.key})
        return ErrorResponse(error=ErrorType.GENERIC_ERROR, detail={})


@contextmanager
def variables() -> Iterator[Variables]:
    """
    Let this process be a task for a while, with Variables of its own; also those that it starts
    (`as_in_the_parent`).
    """
    before = getattr(task_runner, "SUPERVISOR_COMMS", None), os.environ.get(_WHERE)
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="masivo-variables-", dir=memory if memory.is_dir() else None) as folder:
        made = Variables(Path(folder) / "variables.json")
        os.environ[_WHERE] = str(made.file)
        task_runner.SUPERVISOR_COMMS = made  # type: ignore[assignment]
        try:
            yield made
        finally:
            _put_back(*before)


@contextmanager
def outside_of_a_task() -> Iterator[None]:
    """Let this process be no task for a while, as a command at a terminal is none."""
    comms = task_runner.__dict__.pop("SUPERVISOR_COMMS", None)
    try:
        yield
    finally:
        if comms is not None:
            task_runner.SUPERVISOR_COMMS = comms


def as_in_the_parent() -> None:
    """Have the Variables of the process that started this one."""
    task_runner.SUPERVISOR_COMMS = Variables(Path(os.environ[_WHERE]))  # type: ignore[assignment]


def _put_back(comms: Any, where: str | None) -> None:
    if comms is None:
        del task_runner.SUPERVISOR_COMMS
    else:
        task_runner.SUPERVISOR_COMMS = comms
    if where is None:
        del os.environ[_WHERE]
    else:
        os.environ[_WHERE] = where


class InMemory(dict[str, str]):
    """Where a ledger that is tested by itself keeps its high-water mark."""

    def read(self, name: str) -> str | None:
        return self.get(name)

    def write(self, name: str, text: str) -> None:
        self[name] = text
