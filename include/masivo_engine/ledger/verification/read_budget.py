"""
The reads of a day: accounts for development allow 1,000 a day (docs/api-facts.md#f-requests-a-day),
for everything.

They are counted in the ledger, beside the lane's starts, so that a read-back every hour does not
take the account's day.
"""

from __future__ import annotations

from sqlalchemy import delete, func, insert, select

from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import Ledger
from masivo_engine.ledger.dialects import clock, now


_DAY_S = 86_400.0
_DEV_PER_HOUR = 250
_DEV_READS = 600  # leaves some of the thousand to the runs themselves


class Reads:
    """
    What read-backs may still ask of *ledger*'s account today: at most *most* in 24 hours, None for
    no limit (and then nothing is counted).
    """

    def __init__(self, ledger: Ledger, most: int | None) -> None:
        self._engine = ledger.engine
        self._account = (
            f"reads {ledger.name}"  # the ledger's, so that an account that is called otherwise has read as much
        )
        self.most = most

    def left(self) -> int | None:
        """Return how many are left, None where there is no limit; forgets those of earlier days."""
        if self.most is None:
            return None
        table = schema.start
        with self._engine.begin() as connection:
            mine = table.c.account == self._account
            connection.execute(delete(table).where(mine, table.c.at < now(connection) - _DAY_S))
            taken = connection.execute(select(func.count()).select_from(table).where(mine)).scalar_one()
        return max(0, self.most - int(taken))

    def take(self) -> bool:
        """Take one, if one is left."""
        if self.most is None:
            return True
        if not self.left():
            return False
        with self._engine.begin() as connection:
            at = clock(connection.dialect.name)
            connection.execute(insert(schema.start).values(account=self._account, at=at))
        return True


def usual_reads(per_hour: int) -> int | None:
    """
    Return how many reads a day a read-back takes by itself, from the account's migration requests
    *per_hour*, which tell Dev from Prod.
    """
    return _DEV_READS if per_hour <= _DEV_PER_HOUR else None
