"""
Do the files agree with each other: children with their customers, points with balances, customers
with their e-mails.

All of it is counted by the database. What is about whole customers takes the first customers and
everything they own.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Numeric,
    Select,
    String,
    cast,
    func,
    select,
    union_all,
)

from masivo_engine.checks.content.keys import mask
from masivo_engine.checks.finding import Finding, note, several, warning
from masivo_engine.checks.questions import Asked, Unanswered
from masivo_engine.mapping.aliases import CHANGED
from masivo_engine.model.limits import Limits
from masivo_engine.model.rows import Entity


# What tills and shops write where there is nobody.
_NOBODY = frozenset(
    {"0", "-1", "", "na", "n/a", "null", "none", "guest", "anonymous", "unknown", "9999", "99999", "999999"}
)
_SHARE = 0.05
_FEW = 20
_EXACT = Numeric(30, 6)


def totals(asked: Asked, limits: Limits) -> Iterator[Finding]:
    """Yield where the files do not agree."""
    checks: list[tuple[str, Any]] = []
    customers = Entity.CUSTOMERS
    if asked.has(customers, "id", "email"):
        checks.append(("shared e-mails", _emails(asked)))
    for entity in (Entity.EVENTS, Entity.TRANSACTIONS):
        if asked.has(customers) and asked.has(entity):
            checks.append((f"{entity} without a customer", _orphans(asked, entity)))
            checks.append((f"customers with very many {entity}", _crowds(asked, entity)))
    if asked.has(customers) and asked.has(Entity.TRANSACTIONS, "amount", "reward_id"):
        checks.append(("customers with too many transactions", _too_many(asked, limits)))
        checks.append(("points and balances", _sums(asked)))
    checks += [(f"change times of {entity}", _changes(asked, entity)) for entity in Entity if asked.has(entity)]
    for what, findings in checks:
        try:
            yield from findings
        except Unanswered as why:
            yield note("mapping", "not_checked", f"{what}: {why}", "a smaller --rows may do, or an index")


def _emails(asked: Asked) -> Iterator[Finding]:
    query, table, key = asked.key(Entity.CUSTOMERS)
    email = asked.column(table, query, "email")
    folded = func.lower(func.trim(email))
    there = folded != ""
    for code, term, how in (
        ("emails_shared", email, "the very same"),
        ("emails_alike", folded, "letter case and blanks aside, the same"),
    ):
        shared = (
            select(func.count(key.distinct()).label("n"))
            .where(email.is_not(None), there)
            .group_by(term)
            .having(func.count(key.distinct()) > 1)
            .subquery()
        )
        groups, customers = asked.counts(select(func.count(), func.sum(shared.c.n)))
        if code == "emails_shared":
            same = customers
        elif not groups or customers <= same:
            return
        if groups:
            matter = (
                f"{customers:,} customers share {groups:,} address{'' if groups == 1 else 'es'} in email ({how}), and"
                " the API wants them unique"
            )
            do = "merge these customers, or re-address all but one; only the first of each goes"
            yield warning("customers", code, matter, do, rows=customers)


def _orphans(asked: Asked, entity: Entity) -> Iterator[Finding]:
    child, owner = asked.customer(entity)
    every, known = asked.customer(Entity.CUSTOMERS, sampled=False)
    here, there = _compared(asked, owner, known)
    lost = child.join(every, here == there, isouter=True)
    per_owner = (
        select(owner.label("owner"), func.count().label("n"))
        .select_from(lost)
        .where(owner.is_not(None), known.is_(None))
        .group_by(owner)
        .subquery()
    )
    rows, owners = asked.counts(select(func.sum(per_owner.c.n), func.count()))
    if not rows:
        return
    worst, n = asked.one(select(per_owner.c.owner, per_owner.c.n).order_by(per_owner.c.n.desc()).limit(1))
    most = int(n)
    nobody = str(worst).strip().lower()
    matter = f"{several(rows, entity[:-1])} of {several(owners, 'customer')} that customers.sql does not have"
    if nobody in _NOBODY:
        guests = f"{several(most, entity[:-1])} of customer {str(worst)!r}, whom customers.sql does not have: guests"
        yield warning(
            str(entity), "guest_customer", guests, "leave them out in SQL, or decide who owns them", rows=most
        )
        if owners == 1:
            return
    elif owners > 1 and most > 0.5 * rows and most >= _FEW:
        matter += f", {most:,} of them to one (of the shape {mask(str(worst))})"
    do = "merged or deleted customers? point them to the survivor in SQL; until then they are held"
    yield warning(str(entity), "orphans", matter, do, rows=rows)


def _crowds(asked: Asked, entity: Entity) -> Iterator[Finding]:
    """
    One customer with a share of everything is no person but a till, a guest account or a test.
    """
    _, owner = asked.customer(entity)
    per_owner = (
        select(owner.label("owner"), func.count().label("n")).where(owner.is_not(None)).group_by(owner).subquery()
    )
    rows, owners, most = asked.counts(select(func.sum(per_owner.c.n), func.count(), func.max(per_owner.c.n)))
    if owners and owners >= _FEW and most > max(_SHARE * rows, 20 * rows / owners):
        matter = f"one customer owns {most:,} of {rows:,} {entity}"
        do = "probably a shared or guest account: leave it out in SQL, or decide who owns them"
        yield warning(str(entity), "one_for_many", matter, do, rows=most)


def _too_many(asked: Asked, limits: Limits) -> Iterator[Finding]:
    entries, owner = asked.customer(Entity.TRANSACTIONS, sampled=False)
    rows = _of_known(asked, entries, owner)
    crowded = (
        select(func.count().label("n"))
        .select_from(rows)
        .group_by(owner)
        .having(func.count() > limits.records)
        .subquery()
    )
    customers, most, total = asked.counts(select(func.count(), func.max(crowded.c.n), func.sum(crowded.c.n)))
    if customers:
        matter = (
            f"{several(customers, 'customer')} with more than {limits.records:,} transactions, up to {most:,}, which go"
            " together or not at all"
        )
        do = "fold the oldest into one opening row of type MIGRATION in SQL; until then they are held"
        yield warning("transactions", "too_many_transactions", matter, do, rows=total)


def _sums(asked: Asked) -> Iterator[Finding]:
    """Compare by customer and reward, in decimals of the database."""
    mapping = asked.mapping
    balance = mapping.lists[Entity.CUSTOMERS].get("balance")
    if (
        balance is None
        or balance not in asked.columns
        or mapping.adjust.keys() & {Entity.CUSTOMERS, Entity.TRANSACTIONS}
    ):
        matter = "points against balances: they are not both columns of SQL files"
        yield note("transactions", "not_checked", matter, "the account of a run compares them")
        return
    query = mapping.queries[Entity.TRANSACTIONS]
    entries = asked.table(query, sampled=False)
    owner = asked.column(entries, query, "customer_id")
    earned = asked.column(entries, query, "amount")
    moved = _amounts(_of_known(asked, entries, owner), owner, asked.column(entries, query, "reward_id"), earned)
    lines = asked.table(balance, sampled=False)
    parent = asked.column(lines, balance, "customer_id")
    left = asked.column(lines, balance, "amount")
    owned = _amounts(_of_known(asked, lines, parent), parent, asked.column(lines, balance, "reward_id"), -left)
    both = union_all(moved, owned).subquery("points")
    places = mapping.settings.places.points
    off = func.round(cast(func.sum(both.c.points), _EXACT), places)
    apart = (
        select(both.c.owner, off.label("off")).group_by(both.c.owner, both.c.reward).having(off != 0).subquery("apart")
    )
    customers, more, less, total = asked.one(
        select(
            func.count(apart.c.owner.distinct()),
            func.sum(func.abs(apart.c.off) + apart.c.off),
            func.sum(func.abs(apart.c.off) - apart.c.off),
            func.sum(apart.c.off),
        )
    )
    if customers:
        above, below = (_points(value) for value in (more, less))
        matter = (
            f"the transactions of {several(customers, 'customer')} do not add up to their balance: {above:,} points too"
            f" many, {below:,} too few, {_signed(total)} altogether"
        )
        do = "correct the ledger or the balance, or add the missing expiries in SQL; they are quarantined as they are"
        yield warning("transactions", "points_do_not_sum", matter, do, rows=int(customers))


def _changes(asked: Asked, entity: Entity) -> Iterator[Finding]:
    where = str(entity)
    if not asked.has(entity, CHANGED):
        matter = f"{entity}.sql has no {CHANGED}, so no window can be read and every increment reads everything"
        yield warning(where, "no_change_column", matter, "select a change time if there is one; else run with full")
        return
    query = asked.mapping.queries[entity]
    table = asked.table(query)
    changed = asked.column(table, query, CHANGED)
    (without,) = asked.counts(select(func.count()).select_from(table).where(changed.is_(None)))
    if without:
        matter = f"{several(without, 'row')} without {CHANGED}; every window reads them again"
        yield warning(where, "no_change_time", matter, "COALESCE it with the time of creation in SQL", rows=without)
    lists = asked.mapping.lists[entity]
    alone = [path for path in lists if path not in asked.mapping.settings.moves_with.get(where, ())]
    if alone and "max" not in query.sql.lower():
        matter = f"a change in {', '.join(alone)} alone is seen only if it moves {entity}.{CHANGED} as well"
        yield note(
            where,
            "lines_move_alone",
            matter,
            f"if it does not, select an updated_at of the lines and say `moves_with: {{{entity}: [{alone[0]}]}}` in"
            " mapping.yaml",
        )


def _compared(asked: Asked, one: ColumnElement[Any], other: ColumnElement[Any]) -> tuple[Any, Any]:
    """
    Return both sides as they can be compared: a number and a text are one key if they are written
    alike.
    """
    kinds = set()
    for side in (one, other):
        found = asked.ask(select(side).where(side.is_not(None)).limit(1))
        kinds |= {isinstance(value, str) for (value,) in found}
    return (cast(one, String), cast(other, String)) if len(kinds) > 1 else (one, other)


def _of_known(asked: Asked, rows: FromClause, owner: ColumnElement[Any]) -> FromClause:
    """Return those of *rows* whose *owner* is among the customers that are looked at."""
    _, _, key = asked.key(Entity.CUSTOMERS)
    known = select(key.label("known")).where(key.is_not(None)).distinct().subquery("known")
    here, there = _compared(asked, owner, known.c.known)
    return rows.join(known, here == there)


def _amounts(rows: FromClause, owner: Any, reward: Any, amount: Any) -> Select[Any]:
    return (
        select(
            cast(owner, String).label("owner"), func.lower(cast(reward, String)).label("reward"), amount.label("points")
        )
        .select_from(rows)
        .where(amount.is_not(None))
    )


def _points(twice: Any) -> Decimal:
    return (Decimal(str(twice or 0)) / 2).normalize() + 0


def _signed(value: Any) -> str:
    return f"{Decimal(str(value or 0)).normalize() + 0:+,f}"
