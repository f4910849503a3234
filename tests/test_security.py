"""
What SECURITY.md says of files, addresses and packages.
"""

from __future__ import annotations

import argparse
import os
import re
import socket
import stat
from importlib import metadata
from pathlib import Path

import pytest
from packaging.markers import Marker

from masivo.demo.folder import Folder
from masivo_engine.sandbox.command import add_arguments, options_from
from masivo_engine.sandbox.wire.server import Sandbox
from tests.databases.sample import sample_shop
from tests.whole_migration import UNHURRIED, journey


ROOT = Path(__file__).parent.parent

_PINNED = re.compile(r"^(?P<name>[a-z0-9._-]+)==(?P<version>\S+?)(?: ; (?P<marker>.*?))? \\$", re.MULTILINE)


@pytest.fixture
def lenient():
    """A umask that lets the group and everybody read what is made without another word."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.usefixtures("lenient")
def test_whatever_a_migration_writes_is_its_owners_alone(tmp_path):
    legacy, _ = sample_shop(tmp_path, customers=60)
    written = tmp_path / "written"
    sandbox = {**UNHURRIED, "store": written / "sandbox.db"}
    with journey(f"sqlite:///{legacy}", f"sqlite:///{written / 'ledger.db'}", sandbox=sandbox) as trip:
        assert trip.migrate("first").adds_up
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in written.iterdir()}
    assert {"ledger.db", "ledger.db-wal", "sandbox.db", "sandbox.db-wal", "sandbox.db.journal.jsonl"} <= modes.keys()
    assert {name: oct(mode) for name, mode in modes.items() if mode != 0o600} == {}


@pytest.mark.usefixtures("lenient")
def test_the_folder_of_a_demo_is_closed_to_others(tmp_path):
    folder = Folder(tmp_path / "demo", "sample")
    with folder.held():
        assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700


@pytest.mark.parametrize(("typed", "reached"), [([], False), (["--host", "0.0.0.0"], True)])
def test_the_sandbox_listens_on_this_machine_alone_unless_it_is_told_otherwise(typed, reached):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    with Sandbox(options_from(parser.parse_args(["--port", "0", *typed]))) as sandbox:
        assert _answers("127.0.0.1", sandbox.port)
        assert (
            _answers("127.0.0.2", sandbox.port) is reached
        )  # another address of this machine, as a network's would be


def _answers(address, port):
    try:
        socket.create_connection((address, port), timeout=5).close()
    except OSError:
        return False
    return True


def test_what_is_installed_has_the_version_that_the_lock_pins():
    """
    The installer compares the hashes; this is that nothing was replaced past it. Tools of one's own
    may be there besides.
    """
    pins = {}
    for found in _PINNED.finditer((ROOT / "requirements.lock").read_text()):
        if not found["marker"] or Marker(found["marker"]).evaluate():
            pins[found["name"]] = found["version"]
    installed = {re.sub(r"[-_.]+", "-", it.metadata["Name"]).lower(): it.version for it in metadata.distributions()}
    assert len(installed.keys() & pins.keys()) > 100
    assert {name: installed[name] for name in installed.keys() & pins.keys() if installed[name] != pins[name]} == {}


def test_every_pin_of_the_lock_has_a_hash():
    text = (ROOT / "requirements.lock").read_text()
    entries = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    assert len(entries) > 100
    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []
