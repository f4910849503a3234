"""
What only one key may have at a time, such as an e-mail: who has claimed it, and when a claim is let
go.

A customer who changes address claims the new one before it is sent, and keeps the old one until the
API has the new: nobody else may send either of them in between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, Engine, bindparam, delete, insert, select
from sqlalchemy.exc import IntegrityError

from masivo_engine.ledger import schema
from masivo_engine.model.rows import Entity
from masivo_engine.sql import at_once, one_of


def claim(engine: Engine, kind: str, wanted: Sequence[tuple[bytes, str]]) -> dict[bytes, str]:
    """
    Claim digests that may belong to one key only, and return whose each is now.

    *wanted* are pairs of digest and key; the first key to claim a digest has it until `release`.
    """
    while True:
        try:
            return _claimed(engine, kind, wanted)
        except IntegrityError:
            continue  # another task claimed one of them at this moment; now it shows


def release(connection: Connection, kept: Mapping[str, bytes], *, run: int, is_first_try: bool) -> None:
    """
    Let go the e-mails that customers have claimed, all but the digest *kept* by each: the API has
    just taken that one, from *run*.

    To be called in the transaction of the receipt, or after it: a claim that went earlier would let
    somebody else be sent with an address that its owner still has.
    """
    table, part = schema.claim, schema.part
    if is_first_try:
        # Nobody has claimed anything else then: a first load must not look through all claims for
        # each batch. By what other runs have begun and not by what they wrote down, because a claim
        # comes first.
        others = (part.c.run != run, part.c.entity == Entity.CUSTOMERS, part.c.started_at.is_not(None))
        if connection.execute(select(part.c.number).where(*others).limit(1)).first() is None:
            return
    owners = list(kept)
    claimed: list[tuple[bytes, str]] = []
    for some in at_once(owners, connection.dialect.name):
        theirs = select(table.c.digest, table.c.key).where(table.c.kind == "email", table.c.key.in_(some))
        claimed += [(bytes(row.digest), row.key) for row in connection.execute(theirs)]
    # In order, so that two tasks cannot wait for each other.
    gone = sorted((digest, key) for digest, key in claimed if kept.get(key, digest) != digest)
    if gone:
        # Only from the key that had it: nobody else's claim goes, whatever happened since the look.
        this = (table.c.kind == "email", table.c.digest == bindparam("gone"), table.c.key == bindparam("owner"))
        connection.execute(delete(table).where(*this), [{"gone": digest, "owner": key} for digest, key in gone])


def _claimed(engine: Engine, kind: str, wanted: Sequence[tuple[bytes, str]]) -> dict[bytes, str]:
    table = schema.claim
    with engine.begin() as connection:
        owners: dict[bytes, str] = {}
        dialect = connection.dialect.name
        for some in at_once([digest for digest, _ in wanted], dialect):
            theirs = select(table.c.digest, table.c.key).where(
                table.c.kind == kind, one_of(table.c.digest, some, dialect)
            )
            owners |= {bytes(row.digest): row.key for row in connection.execute(theirs)}
        fresh = {digest: key for digest, key in reversed(wanted) if digest not in owners}
        if fresh:
            # In order, so that two tasks cannot wait for each other.
            claims = [{"kind": kind, "digest": digest, "key": key} for digest, key in sorted(fresh.items())]
            connection.execute(insert(table), claims)
    return owners | fresh
