"""
What a process does with a SQLite ledger beside others: ``python -m tests.scenarios.ledger_users URL
NAME``.

It obeys lines: ``commit N`` commits a row, ``again N`` opens the ledger once more first, as the
next task in a process does, ``look`` reads as the account does. It answers each with a line when
that is done.
"""

from __future__ import annotations

import sys

from sqlalchemy import make_url, text

from masivo.connections import engines


def main(address: str, name: str) -> None:
    url = make_url(address)
    opened = [engines.ledger(url)] if name != "looks" else []
    print("ready", flush=True)
    for line in sys.stdin:
        what, _, number = line.strip().partition(" ")
        if what == "look":
            engine = engines.ledger_to_look_at(url)
            with engine.connect().execution_options(reads_only=True) as connection, connection.begin():
                rows = connection.execute(text("SELECT name, n FROM row ORDER BY name, n")).all()
            engine.dispose()
            print(*(f"{who}:{n}" for who, n in rows), flush=True)
            continue
        if what == "again":
            opened.append(engines.ledger(url))
        with opened[len(opened) // 2].begin() as connection:
            connection.execute(text("INSERT INTO row VALUES (:name, :n)"), {"name": name, "n": int(number)})
        print("committed", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
