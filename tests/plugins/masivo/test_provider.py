"""
What Airflow makes of the provider: the connection type, its form, and a test of it through Airflow
itself.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

from airflow.sdk import Connection

from masivo.connections.api import target_of
from masivo.connections.extras import Extras
from masivo.hook import MasivoHook
from masivo.provider import get_provider_info
from tests.plugins.masivo.wire.scripted_server import ScriptedServer, answer


ROOT = Path(__file__).parents[3]


def _in_airflow(tmp_path: Path, program: str, **environment: str) -> str:
    """
    Run *program* in a process of its own, in which the provider is found as an installed
    distribution.

    A folder of metadata on the path is as good as an installation, and says nothing about the
    machine the tests run on.
    """
    metadata = tmp_path / "site" / "masivo_migration-0.1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: masivo-migration\nVersion: 0.1.0\n")
    (metadata / "entry_points.txt").write_text(
        "[apache_airflow_provider]\nprovider_info = masivo.provider:get_provider_info\n"
    )
    path = os.pathsep.join(map(str, (tmp_path / "site", ROOT / "include", ROOT / "plugins")))
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={**os.environ, "PYTHONPATH": path, "AIRFLOW_HOME": str(tmp_path / "home"), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_airflow_lists_the_type_with_its_form(tmp_path):
    said = _in_airflow(
        tmp_path,
        """
        import json
        from airflow.providers_manager import ProvidersManager

        manager = ProvidersManager()
        prefix = "extra__masivo__"
        widgets = manager.connection_form_widgets.items()
        fields = {name.removeprefix(prefix): field for name, field in widgets if name.startswith(prefix)}
        print(json.dumps({
            "providers": [name for name in manager.providers if "masivo" in name],
            "name": manager.hooks["masivo"].hook_name,
            "argument": manager.hooks["masivo"].connection_id_attribute_name,
            "behaviour": manager.field_behaviours["masivo"],
            "fields": list(fields),
            "secret": [name for name, field in fields.items() if field.is_sensitive],
        }))
        """,
    )
    form = json.loads(said.splitlines()[-1])

    assert (form["providers"], form["name"], form["argument"]) == (["masivo-migration"], "Masivo", "masivo_conn_id")
    assert form["behaviour"]["relabeling"] == {"password": "API key"}
    assert {"login", "schema"} <= set(form["behaviour"]["hidden_fields"])
    assert form["secret"] == ["token"]
    assert {"account", "interval_s", "per_hour", "token"} <= set(form["fields"])


def test_airflow_tests_a_connection_of_the_type(tmp_path):
    with ScriptedServer(authorize=answer(401)) as server:
        said = _in_airflow(
            tmp_path,
            """
            from airflow.sdk import BaseHook

            connection = BaseHook.get_connection("masivo_api")
            print(connection.get_hook().test_connection())
            """,
            AIRFLOW_CONN_MASIVO_API=f"masivo://:key-of-the-test@127.0.0.1:{server.port}/http",
        )

    assert "refuses the API key of this connection" in said
    assert "key-of-the-test" not in said
    assert [request.method for request in server.token_requests] == ["GET"]


def test_the_form_has_a_field_for_every_extra_that_the_hook_reads(monkeypatch):
    read = set()
    look_up = Extras._value
    monkeypatch.setattr(Extras, "_value", lambda extras, name: read.add(name) or look_up(extras, name))
    target_of(Connection(conn_id="masivo_api", conn_type="masivo", host="sandbox", password="key"))

    [kind] = get_provider_info()["connection-types"]
    assert set(kind["conn-fields"]) == read
    assert kind["hook-class-name"] == f"{MasivoHook.__module__}.{MasivoHook.__qualname__}"
    assert (kind["connection-type"], kind["hook-name"]) == (MasivoHook.conn_type, MasivoHook.hook_name)


def test_the_provider_is_read_without_importing_anything():
    program = "import sys; before = set(sys.modules); import masivo.provider; print(sorted(set(sys.modules) - before))"
    said = subprocess.run(
        [sys.executable, "-S", "-c", program],
        env={"PYTHONPATH": str(ROOT / "plugins")},
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert not {"airflow", "requests", "sqlalchemy", "masivo_engine"} & set(eval(said))
