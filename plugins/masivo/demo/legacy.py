"""
The legacy database of a demo: built once, and only whole.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from sqlalchemy import Engine, create_engine

from masivo.demo.folder import Folder
from masivo_engine.model.errors import Misconfigured
from masivo_engine.model.reasons import REASONS
from masivo_engine.model.rows import State
from masivo_engine.samples.complete_journey import load
from masivo_engine.samples.retailer import build


CUSTOMERS = 5_000


@dataclass(frozen=True, slots=True)
class Legacy:
    """
    What was built: for how many *customers* (``None``: all there are), *faults*, the rows that
    cannot be sent, and a *note* on what a reader of the account should know.
    """

    customers: int | None
    faults: int
    note: str


def build_legacy(folder: Folder, customers: int | None) -> Legacy:
    """
    Build the demo's legacy database unless it is there: *customers* of them, or as many as the data
    set has.

    :raises Misconfigured: it is there in another size than the one that was asked for, or cannot
        have that size.
    """
    note = folder.path / "legacy.json"
    if folder.legacy.exists():
        built = Legacy(**json.loads(note.read_text()))
        if customers not in {None, built.customers}:
            raise Misconfigured(f"{folder.legacy} was built for {built.customers} customers; start over with FRESH=1")
        return built

    # Under another name until it is whole, so that one that was stopped half-way is not taken for
    # it.
    part = folder.legacy.with_suffix(".part")
    for left in part.parent.glob(f"{part.name}*"):  # with its journal, which would be taken for the new one's
        left.unlink()
    engine = create_engine(f"sqlite:///{part}")
    try:
        built = _fill(engine, folder, customers)
    except ValueError as problem:  # too few customers to hold every fault
        raise Misconfigured(str(problem)) from problem
    finally:
        engine.dispose()
    note.write_text(json.dumps(asdict(built)))
    part.rename(folder.legacy)
    return built


def _fill(engine: Engine, folder: Folder, customers: int | None) -> Legacy:
    if folder.data == "complete-journey":
        loaded = load.load(engine, households=customers)
        return Legacy(customers, faults=0, note=loaded.rule)
    planted = build.build(engine, customers=customers or CUSTOMERS)
    folder.planted.write_text("\n".join(planted.describe()) + "\n")
    counts = (count for outcomes in planted.outcomes.values() for count in outcomes.items())
    faults = sum(rows for code, rows in counts if code and REASONS[code].state is State.QUARANTINED)
    note = (
        f"{faults:,} rows of this sample have a fault that was planted; {folder.planted.name} lists what must be found."
    )
    return Legacy(planted.customers, faults, note)
