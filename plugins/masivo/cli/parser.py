"""
``python -m masivo``: the account and its audit pack, one customer's trail, the check, payloads to
look at, the sandbox and the demo.

Only what a command needs is imported, because Airflow alone takes a second or two.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from typing import TextIO

from masivo.cli import tie
from masivo.demo import command as demo
from masivo_engine.model.errors import MigrationError
from masivo_engine.model.rows import Entity
from masivo_engine.sandbox import command as sandbox


_WHICH_RUN = (
    "Airflow's run id (of another DAG than masivo_sync: DAG/run id), or the ledger's number; the latest by default"
)

_EXIT_CODES = (
    "Exit codes: 0 all is well; 1 the data is not: an account does not add up, a check finds what blocks, nothing is"
    " found; 2 the command line makes no sense; 3 the set-up is missing or wrong: a connection, a database, the key,"
    " the mapping."
)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit code. An error of ours is one sentence on standard error."""
    given = _parser().parse_args(arguments)
    try:
        return int(given.run(given) or 0)
    except MigrationError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        sys.stderr.close()  # the reader has seen enough, as with `| head`
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m masivo", description="Moves a legacy loyalty database into Masivo.", epilog=_EXIT_CODES
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("account", help="the equation of a run, by SQL from the ledger")
    command.add_argument("--run", dest="run_id", help=_WHICH_RUN)
    command.add_argument("--json", action="store_true", help="as JSON")
    command.set_defaults(run=_later("print_account"))

    command = commands.add_parser("pack", help="write a run's audit pack again, from the ledger")
    command.add_argument("--run", dest="run_id", help=_WHICH_RUN)
    command.add_argument("--to", metavar="FOLDER", help="where packs lie (default: MASIVO_PACKS)")
    command.set_defaults(run=_later("write_audit_pack"))

    command = commands.add_parser("trace", help="what became of every row of one customer")
    command.add_argument("customer", metavar="CUSTOMER_ID")
    command.add_argument("--payloads", action="store_true", help="what was kept of quarantined records, unsealed")
    command.set_defaults(run=_later("print_trail"))

    command = commands.add_parser("prune", help="forget former states of rows that were never sent, of old runs")
    command.add_argument("--keep-days", type=_count, required=True, metavar="N", help="of runs that ended before that")
    command.set_defaults(run=_later("print_pruned"))

    command = commands.add_parser("check", help="the mapping against the database, the contract and the account")
    command.add_argument(
        "--rows", type=_count, metavar="N", help="look at the first N rows of each file (default: a sample)"
    )
    command.add_argument("--all", action="store_true", help="look at every row, however long it takes")
    command.set_defaults(run=_later("print_check"))

    command = commands.add_parser(
        "draft",
        help="write a mapping to begin with, from what the database shows of itself",
        description=(
            "Looks at the tables of legacy_db and writes a mapping folder: which table and column is taken for"
            " what, and why, stands in comments. Codes and money are never guessed: their lines are left to fill in."
            " Overwrites nothing, and only reads the database."
        ),
    )
    command.add_argument("name", metavar="NAME", help="of the mapping, or the path of its folder")
    command.set_defaults(run=_later("write_draft"))

    command = commands.add_parser("preview", help="payloads as they would be sent; sends nothing")
    command.add_argument("entity", choices=[entity.value for entity in Entity])
    command.add_argument("--limit", type=int, default=3, help="how many (default: 3)")
    command.add_argument("--key", default="", help="only the record with this legacy key")
    command.add_argument("--sql", action="store_true", help="the SQL that is run, too, as this database gets it")
    command.set_defaults(run=_later("print_preview"))

    tie.add_command(commands, _later("tie_ledger"))

    command = commands.add_parser("sandbox", help="an API that keeps Masivo's contract, on this machine")
    sandbox.add_arguments(command)
    command.set_defaults(run=sandbox.run)

    demo.add_commands(commands)
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1")
    return int(text)


def _later(name: str) -> Callable[[argparse.Namespace], int]:
    """
    Return a command that imports its module when it is run; what it is asked for goes to
    ``given.out``.
    """

    def run(given: argparse.Namespace) -> int:
        with _apart() as given.out:
            command: Callable[[argparse.Namespace], int] = getattr(import_module("masivo.cli.commands"), name)
            return command(given)

    return run


@contextmanager
def _apart() -> Iterator[TextIO]:
    """
    Give a way out for what was asked for: the logs of Airflow and others go to standard error, and
    Airflow makes no folder for them.
    """
    before, out = dict(os.environ), sys.stdout
    os.environ.setdefault("AIRFLOW__LOGGING__BASE_LOG_FOLDER", tempfile.gettempdir())
    try:
        with redirect_stdout(sys.stderr):
            yield out
    finally:
        os.environ.clear()
        os.environ.update(before)
