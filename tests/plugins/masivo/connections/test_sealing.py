"""
Sealing with Airflow's own key: off unless somebody asks for it, and readable with the key alone.
"""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet

from masivo.connections.sealing import seal, unseal
from masivo_engine.model.errors import Misconfigured


@pytest.fixture
def keys(monkeypatch):
    """Let Airflow have these Fernet keys, and the ledger be asked for payloads."""

    def have(*given):
        monkeypatch.setenv("MASIVO_KEEP_PAYLOADS", "true")
        monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", ",".join(given))

    return have


def test_what_is_sealed_shows_nothing_and_is_read_with_the_key(keys):
    keys(Fernet.generate_key().decode())
    sealed = seal()(b'{"email":"ana@example.invalid"}')

    assert b"ana@" not in sealed
    assert unseal(sealed) == '{"email":"ana@example.invalid"}'


def test_a_key_that_was_replaced_still_unseals_while_it_stands_behind_the_new_one(keys):
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    keys(old)
    sealed = seal()(b"{}")
    keys(new, old)
    assert unseal(sealed) == "{}"
    keys(new)
    with pytest.raises(Misconfigured, match="sealed with another Fernet key"):
        unseal(sealed)


def test_nothing_is_kept_unless_somebody_asks_and_there_is_a_key(keys, monkeypatch):
    keys("")
    assert seal() is None
    with pytest.raises(Misconfigured, match="there is none here"):
        unseal(b"")
    keys(Fernet.generate_key().decode())
    monkeypatch.setenv("MASIVO_KEEP_PAYLOADS", "false")
    assert seal() is None


def test_what_is_neither_yes_nor_no_is_named_and_not_shown(keys, monkeypatch):
    keys(Fernet.generate_key().decode())
    monkeypatch.setenv("MASIVO_KEEP_PAYLOADS", "perhaps")
    with pytest.raises(
        Misconfigured, match="MASIVO_KEEP_PAYLOADS must be true or false, but is a text of 7 characters"
    ):
        seal()
