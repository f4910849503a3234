"""
The sample retailer's database, built in a file of SQLite for one test or for many.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import create_engine

from masivo_engine.samples.planted import Planted
from masivo_engine.samples.retailer import build


def sample_shop(folder: Path, *, customers: int = 5_000) -> tuple[Path, Planted]:
    """Build it in *folder*; return the file, and what was planted in it."""
    file = folder / "legacy.sqlite"
    engine = create_engine(f"sqlite:///{file}")
    try:
        return file, build.build(engine, customers=customers)
    finally:
        engine.dispose()
