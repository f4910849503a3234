"""
The sandbox on the command line: ``python -m masivo sandbox`` and ``python -m
masivo_engine.sandbox``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from masivo_engine.sandbox.faults.faults import Script
from masivo_engine.sandbox.options import DEFAULT_KEY, Existing, Filing, Leaves, Naming, Options, Refusal, Telling


_PORT = 8099
_DEFAULT = Options()
_ENTITIES = ("customers", "events", "transactions")
_CHOICES: dict[str, tuple[type[Telling | Naming | Existing | Refusal | Filing], str]] = {
    "telling": (Telling, "how much the prose of a 422 says"),
    "naming": (Naming, "what it calls a record by"),
    "existing": (Existing, "whether a known customer is updated, refused, or updated with the balances added up"),
    "duplicates": (Refusal, "where a second id or e-mail is refused"),
    "unknown_customers": (Refusal, "where events and transactions of unknown customers are refused"),
    "second_transactions": (Refusal, "where a customer's second transactions are refused"),
    "filed_by": (Filing, "by which year a transaction is found: of its date in UTC or in Bogota, or of its arrival"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add every option of the sandbox to *parser*; `options_from` reads them back."""
    where = parser.add_argument_group("where")
    where.add_argument("--host", default=_DEFAULT.host, help="address to listen on (%(default)s)")
    where.add_argument("--port", type=int, default=_PORT, help="port, 0 for any free one (%(default)s)")
    where.add_argument(
        "--store", type=Path, metavar="FILE", help="keep everything in this SQLite file (else in memory)"
    )
    where.add_argument(
        "--journal", type=Path, metavar="FILE", help="one JSON line per request (default: beside the store)"
    )
    where.add_argument(
        "--api-key",
        action="append",
        default=[],
        metavar="KEY[=ACCOUNT]",
        help=f"an API key and its account's name; may be repeated ({DEFAULT_KEY})",
    )

    limits = parser.add_argument_group("limits; times in seconds")
    _number(limits, "--interval", "interval_s", "least time between the starts of two migration requests, 0 for none")
    _number(limits, "--per-hour", "per_hour", "most migration requests in an hour (250 in Dev), 0 for no limit")
    _number(limits, "--delay", "delay_s", "from the 201 until the work is visible")
    _number(limits, "--token-lifetime", "token_lifetime_s", "how long a token is good for")
    _number(limits, "--record-limit", "record_limit", "most records in one request")
    _number(limits, "--body-bytes", "body_bytes", "largest body")
    _number(limits, "--speed", "speed", "100 lets an hour pass in 36 seconds")
    _number(
        limits, "--transactions-months", "transactions_months", "how far a read of transactions looks back, 0 for all"
    )

    strictness = parser.add_argument_group("strictness")
    for name, (choice, text) in _CHOICES.items():
        strictness.add_argument(
            f"--{name.replace('_', '-')}",
            choices=[str(value) for value in choice],
            default=str(getattr(_DEFAULT, name)),
            help=f"{text} (%(default)s)",
        )
    strictness.add_argument(
        "--partial", action="store_true", help="a 422 takes the good records of its batch all the same"
    )
    strictness.add_argument(
        "--leaves",
        action="append",
        default=[],
        metavar="ENTITY=WHAT",
        help=(
            "what a 422 of one address leaves taken: nothing, good (records), before (the first bad one); may be"
            " repeated"
        ),
    )
    _number(strictness, "--poison-rate", "poison_rate", "share of records refused although they keep the contract")
    _number(strictness, "--seed", "seed", "chooses those records")

    faults = parser.add_argument_group("faults")
    faults.add_argument(
        "--faults",
        type=Path,
        metavar="FILE",
        help="a script of faults, as JSON (include/masivo_engine/sandbox/faults/faults.py)",
    )
    faults.add_argument(
        "--outage",
        action="append",
        default=[],
        metavar="START-END",
        help="seconds after the start between which the queue stands still; may be repeated",
    )
    faults.add_argument("--control", action="store_true", help="let POST /view/faults replace the script")
    _number(faults, "--clock-skew", "clock_skew_s", "how far the server's clock is ahead")
    _number(faults, "--hang", "hang_s", "how long a hanging fault hangs")
    _number(faults, "--drip", "drip_s", "time per byte of a slow answer")
    _number(faults, "--late", "late_s", "how late a late answer is")
    _number(faults, "--retry-after", "retry_after_s", "what a Retry-After asks for")


def options_from(arguments: argparse.Namespace) -> Options:
    """
    The options that were typed.

    :raises ValueError: with a sentence, if a value or the script of faults makes no sense.
    """
    given = vars(arguments)
    typed = {field.name: given[field.name] for field in fields(Options) if field.name in given}
    typed |= {name: choice(given[name]) for name, (choice, _) in _CHOICES.items()}
    typed["outages"] = tuple(_span(text) for text in arguments.outage)
    typed["atomic"] = not arguments.partial
    typed["leaves"] = dict(_left_by(text) for text in arguments.leaves)
    typed["faults"] = Script.from_file(arguments.faults) if arguments.faults else Script()
    if arguments.api_key:
        pairs = (typed_key.partition("=") for typed_key in arguments.api_key)
        typed["accounts"] = {key: name or f"account-{number}" for number, (key, _, name) in enumerate(pairs, 1)}
    return Options(**typed)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the sandbox until it is stopped; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m masivo_engine.sandbox", description="A stand-in for Masivo's API.")
    add_arguments(parser)
    return run(parser.parse_args(argv))


def run(arguments: argparse.Namespace) -> int:
    """
    Run the sandbox as *arguments* say until it is stopped; return 2, with a sentence, if it cannot
    start.
    """
    # Imported here so that a command line that only lists its options does not start a web server's
    # worth of modules.
    from masivo_engine.sandbox.wire.server import serve  # noqa: PLC0415

    try:
        serve(options_from(arguments))
    except (OSError, ValueError) as problem:
        print(problem.strerror if isinstance(problem, OSError) else problem, file=sys.stderr)
        return 2
    return 0


def _span(text: str) -> tuple[float, float]:
    start, _, end = text.partition("-")
    try:
        return float(start), float(end)
    except ValueError as problem:
        raise ValueError(f"--outage {text}: give two numbers of seconds, as in 60-120") from problem


def _left_by(text: str) -> tuple[str, Leaves]:
    entity, _, what = text.partition("=")
    if entity not in _ENTITIES or what not in list(Leaves):
        raise ValueError(f"--leaves {text}: give an entity and what is left of it, as in transactions=before")
    return entity, Leaves(what)


def _number(group: argparse._ArgumentGroup, flag: str, name: str, text: str) -> None:
    default = getattr(_DEFAULT, name)
    group.add_argument(flag, dest=name, type=type(default), default=default, metavar="N", help=f"{text} (%(default)s)")
