"""
``python -m masivo tie``: the ledger learns that the connection `masivo_api` names its account in
another way than before.

It shows what the account has of what the ledger delivered last, and wants a typed word. Nothing is
sent.
"""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TextIO


if TYPE_CHECKING:
    from masivo.services import Services

WORD = "tie"


def add_command(commands: Any, run: Callable[[argparse.Namespace], int]) -> None:
    """Add the command to *commands*; *run* does it."""
    command = commands.add_parser(
        "tie",
        help="let the ledger know a renamed account, an account_id added later, another host",
        description=(
            "Asks the API for customers that the ledger delivered last, shows what it found, and ties the ledger to the"
            " account of the connection masivo_api if they are there as they were sent. Sends nothing. Exit codes: 0"
            " done, 1 refused because the account does not show them, 3 the set-up is missing or cannot be asked."
        ),
    )
    command.add_argument("--confirm", metavar="WORD", help=f"the word that is else typed at the terminal: {WORD}")
    command.add_argument(
        "--unlike",
        type=int,
        default=0,
        metavar="N",
        help="so many of those asked for are known to be gone or changed in Masivo",
    )
    command.add_argument("--by", metavar="NAME", help="who decides this, for the ledger (default: the login name)")
    command.set_defaults(run=run)


def tie(place: Services, given: argparse.Namespace, out: TextIO) -> int:
    """Look, show, ask and tie; return 1 where it is refused."""
    from masivo_engine.ledger.connection import Ledger  # noqa: PLC0415
    from masivo_engine.readback import tying  # noqa: PLC0415 (the parser of every command imports this module)

    place.hook.prove()
    target, account = place.hook.target, place.hook.fingerprint
    named = f"account_id {target.account_id!r}" if target.account_id else "the account that its token names"
    called = f"{target.base_url}, {named}"
    ledger = Ledger(place.ledger_engine, "")  # whosever it is
    ledger.open()
    if ledger.account == account:
        print(f"the ledger is tied to {called} already; nothing to do", file=out)
        return 0
    found = tying.look(ledger, place.hook, place.hook.limits)
    print(f"the connection masivo_api names {called}\n{found}", file=out)
    if problem := found.refusal(unlike=given.unlike):
        print(f"not tied: {problem}", file=sys.stderr)
        return 1
    if (_typed() if given.confirm is None else given.confirm) != WORD:
        print(f"not tied: the word {WORD} was not typed (at the terminal, or --confirm {WORD})", file=sys.stderr)
        return 1
    tying.tie(ledger, account, called=called, found=found, by=given.by or _login())
    print(f"tied: the ledger is that of {called}", file=out)
    return 0


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run as somebody without a name
        return f"uid {os.getuid()}"


def _typed() -> str:
    if not sys.stdin.isatty():
        return ""
    try:
        return input(f"Is this the ledger's account? Then type {WORD}: ").strip()
    except EOFError:
        return ""
