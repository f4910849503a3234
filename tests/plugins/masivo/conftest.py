"""
Hooks on servers of the tests.
"""

from __future__ import annotations

import json

import pytest

from masivo.hook import MasivoHook
from masivo.wire import tokens
from tests.plugins.masivo.wire.scripted_server import KEY


@pytest.fixture
def no_tokens_from_before():
    tokens._grants.clear()


@pytest.fixture
def hook_for(monkeypatch):
    """
    Return a maker of hooks on a server or port; *conn* are fields of the connection, other keywords
    its extras.
    """
    tokens._grants.clear()
    made = []

    def make(server, *, conn=None, **extra) -> MasivoHook:
        port = server if isinstance(server, int) else server.port
        fields = {"conn_type": "masivo", "host": "127.0.0.1", "schema": "http", "port": port, "password": KEY}
        fields |= {"extra": {"deadline_s": 5, **extra}, **(conn or {})}
        monkeypatch.setenv("AIRFLOW_CONN_MASIVO_API", json.dumps(fields))
        made.append(MasivoHook())
        return made[-1]

    yield make
    for hook in made:
        hook.close()
