"""
What the tests of one process share: the state of the process itself, which each must leave as it
was.

A variable that one test sets is read by the next, and by every program that it starts; so a test is
green or red by the company it is in. Whatever was changed is put back, and whoever changed it
fails. Values are not told: a connection's holds its password.
"""

from __future__ import annotations

import locale
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any


_OUR_OWN = "PYTEST_CURRENT_TEST"  # pytest's, a new one for each phase of a test
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)  # SIGALRM is the time limit of each test
_MASKERS = tuple(f"airflow.{place}_shared.secrets_masker.secrets_masker" for place in ("", "sdk."))
_LOGGERS = ("root", "airflow", "masivo", "masivo_engine", "sqlalchemy")


class LeftBehind(AssertionError):
    """A test, or a fixture that it asked for, changed its process and did not change it back."""


@contextmanager
def put_back() -> Iterator[list[str]]:
    """
    Put back what is changed of this process meanwhile, for what may change it; yield a list that
    afterwards says what that was.
    """
    before = {what: read() for what, (read, _) in _SHARED.items()}
    changed: list[str] = []
    try:
        yield changed
    finally:
        for what, (read, write) in _SHARED.items():
            if (now := read()) != before[what]:
                changed.append(_told(what, before[what], now))
                write(before[what])


@contextmanager
def none_of(who: str) -> Iterator[None]:
    """
    Put back what is changed of this process meanwhile; raises `LeftBehind`, which names it and
    *who*, if anything was.
    """
    try:
        with put_back() as changed:
            yield
    finally:
        _forget()
    if changed:
        how = "change it through monkeypatch or a context manager"
        raise LeftBehind(f"{who} left its process changed ({'; '.join(changed)}): {how}")


def _forget() -> None:
    """
    Empty what the process remembers of all that it did, which is nobody's fault.

    No test may live on its sign-in at another's server; nor be spared a secret in its output
    because another had that masked, or wait for a masker that knows a thousand. Whoever needs them
    has imported them: that is not for here, before Airflow's settings stand.
    """
    if tokens := sys.modules.get("masivo.wire.tokens"):
        tokens._grants.clear()
    for name in _MASKERS:
        if masker := sys.modules.get(name):
            masker.reset_secrets_masker()


def _told(what: str, before: Any, now: Any) -> str:
    if not isinstance(before, Mapping):
        return what
    names = sorted(str(name) for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    return f"{what}: {', '.join(names)}"


def _variables() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != _OUR_OWN}


def _set_variables(variables: Mapping[str, str]) -> None:
    for name in _variables().keys() - variables.keys():
        del os.environ[name]
    os.environ.update(variables)


def _set_path(path: list[str]) -> None:
    sys.path[:] = path


def _handlers() -> dict[str, Any]:
    return {each.name: signal.getsignal(each) for each in _SIGNALS}


def _set_handlers(handlers: Mapping[str, Any]) -> None:
    for name, handler in handlers.items():
        signal.signal(signal.Signals[name], handler)


def _levels() -> dict[str, int]:
    return {name: logging.getLogger(name).level for name in _LOGGERS}


def _set_levels(levels: Mapping[str, int]) -> None:
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


# What it is called, how it is read, how it is put back.
_SHARED: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "environment variables": (_variables, _set_variables),
    "the working directory": (os.getcwd, os.chdir),
    "sys.path": (lambda: [*sys.path], _set_path),
    "the time zone": (lambda: time.tzname, lambda _: time.tzset()),  # after TZ, which is a variable
    "the locale": (lambda: locale.setlocale(locale.LC_ALL), lambda name: locale.setlocale(locale.LC_ALL, name)),
    "the umask": (_umask, os.umask),
    "handlers of signals": (_handlers, _set_handlers),
    "levels of logging": (_levels, _set_levels),
    "what logging leaves out": (lambda: logging.root.manager.disable, logging.disable),
    "the time-out of sockets": (socket.getdefaulttimeout, socket.setdefaulttimeout),
}
