"""
Do children and customers fit together: rows whose customer is not there, points that miss the
balance, balances without a history. As the run judges them, said by customer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal

from masivo_engine.checks.content.keys import mask
from masivo_engine.checks.finding import Finding, blocker, note, several, warning
from masivo_engine.checks.first_load import FirstLoad
from masivo_engine.model.judged import Judged
from masivo_engine.model.rows import Entity, Record
from masivo_engine.planning.guards import most_without_customer


# What tills and shops write where there is nobody.
_NOBODY = frozenset(
    {"0", "-1", "", "na", "n/a", "null", "none", "guest", "anonymous", "unknown", "9999", "99999", "999999"}
)
_FEW = 20


class OwnersOfRows:
    """Looks at the customers of judged rows."""

    #: The reasons that are said here, by customer.
    says = frozenset({"customer_missing", "points_do_not_sum"})

    def __init__(self, entity: Entity, load: FirstLoad) -> None:
        self._entity = entity
        self._load = load
        self._missing: Counter[str] = Counter()
        self._apart: dict[str, Decimal] = {}
        self._rows_apart = 0

    def see(self, one: Judged) -> None:
        """Look at one row."""
        if one.verdict.reason == "customer_missing":
            self._missing[one.row.customer] += 1
        elif one.verdict.reason == "points_do_not_sum":
            self._rows_apart += 1
            self._apart[one.row.customer] = Decimal(one.verdict.shape.rpartition(" off by ")[2])
        if self._entity is Entity.CUSTOMERS:
            if one.verdict.is_sent and isinstance(one.row, Record) and one.row.points:
                self._load.owners.add(one.row.key)
        elif self._entity is Entity.TRANSACTIONS:
            self._load.owners.discard(one.row.customer)

    def findings(self, rows: int, *, is_cut: bool) -> Iterator[Finding]:
        """
        Yield what does not fit of so many *rows*. Where the customers were *cut* somewhere else
        than these, nobody knows who is missing.
        """
        where = str(self._entity)
        if self._missing and not is_cut:
            yield from self._without_customer(rows)
        if self._apart:
            above = sum((off for off in self._apart.values() if off > 0), Decimal(0))
            below = -sum((off for off in self._apart.values() if off < 0), Decimal(0))
            matter = (
                f"the transactions of {several(len(self._apart), 'customer')} do not add up to their balance:"
                f" {_plain(above)} points too many, {_plain(below)} too few, {above - below:+,f} altogether"
            )
            do = (
                "correct the ledger or the balance, or add the missing expiries in SQL (docs/mappings/expiry.md); they"
                " are quarantined as they are"
            )
            yield warning(where, "points_do_not_sum", matter, do, rows=self._rows_apart)
        if self._entity is Entity.TRANSACTIONS and self._load.owners and not is_cut:
            matter = f"{several(len(self._load.owners), 'customer')} with points of whom there is no transaction"
            yield note(
                where, "balance_alone", matter, "their balance goes without a history", rows=len(self._load.owners)
            )

    def _without_customer(self, rows: int) -> Iterator[Finding]:
        noun, where = str(self._entity)[:-1], str(self._entity)
        total, owners = sum(self._missing.values()), len(self._missing)
        worst, most = self._missing.most_common(1)[0]
        matter = f"{several(total, noun)} of {several(owners, 'customer')} that customers.sql does not have"
        do = "merged or deleted customers? point them to the survivor in SQL; until then they are held"
        if total > most_without_customer(rows):
            stops = f"{matter}: more than a run lets pass (of {rows:,} rows {most_without_customer(rows):,})"
            do = "see which customers customers.sql leaves out, or that the user may not see; a person can let it pass"
            yield blocker(where, "customers_missing", stops, do, rows=total)
        if worst.strip().lower() in _NOBODY:
            guests = f"{several(most, noun)} of customer {worst!r}, whom customers.sql does not have: guests"
            yield warning(where, "guest_customer", guests, "leave them out in SQL, or decide who owns them", rows=most)
            if owners == 1:
                return
        elif owners > 1 and most > 0.5 * total and most >= _FEW:
            matter += f", {most:,} of them to one (of the shape {mask(worst)})"
        yield warning(where, "customer_missing", matter, do, rows=total)


def _plain(points: Decimal) -> str:
    return f"{points.normalize() + 0:,f}"
