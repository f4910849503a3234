"""
The window into the sandbox.
"""

from __future__ import annotations

import json

from masivo_engine.sandbox.api.api import BASE
from tests.include.sandbox.bodies import customer, customers, event, events
from tests.include.sandbox.client import CUSTOMERS, EVENTS, sandbox


SCRIPT = {"seed": 1, "rules": [{"path": CUSTOMERS, "nth": [1], "faults": ["503"]}]}


def test_the_page_shows_counts_and_the_last_requests_and_escapes_what_it_shows():
    with sandbox() as api:
        client = api.client()
        client.post(CUSTOMERS, customers(customer(1)))
        client.get("/customers/<script>")
        page = client.send("GET", "/view")
        assert page.headers["content-type"].startswith("text/html")
        text = page.body.decode()
        assert "POST /customers/migrate" in text
        assert "<script>" not in text


def test_the_documents_give_what_the_sandbox_holds():
    with sandbox() as api:
        client = api.client()
        client.post(CUSTOMERS, customers(customer(1)))
        client.post(EVENTS, events(C1=[event("P1"), event("P2")], C9=[event("P3")]))
        counts = client.view("counts.json")
        assert counts["requests_in_queue"] == 0
        assert (counts["entities"]["events"]["visible"], counts["entities"]["events"]["failed"]) == (2, 1)
        assert client.view("customers.json") == [
            {"key": "C1", "customer": "C1", "times": 1, "applied": 1, "bodies": [customer(1)], "failures": []}
        ]
        assert [record["key"] for record in client.view("events.json?customer=C1&limit=1&offset=1")] == ["P2"]
        assert [record["customer"] for record in client.view("events.json?key=P3")] == ["C9"]
        assert client.view("failures.json") == [
            {"account": "sandbox", "entity": "events", "customer": "C9", "key": "P3", "failure": "unknown customer"}
        ]
        line = client.view("requests.json?offset=2")[0]
        assert (line["path"], line["records"], line["accepted"][0]) == (EVENTS, 3, ["P1", "C1"])
        assert "error" in client.view("customers.json?limit=x")
        assert "counts.json" in client.view("nothing.json")["details"]


def test_the_journal_holds_no_payload_and_no_token():
    with sandbox() as api:
        client = api.client()
        client.post(CUSTOMERS, customers(customer(1, name="Planted Name")))
        text = api.api.journal.path.read_text()
        for secret in ("Planted", "c1@example", client.token, "sandbox-key"):
            assert secret not in text


def test_faults_are_scripted_over_http_only_if_allowed():
    for control, status in ((False, 403), (True, 204)):
        with sandbox(control=control) as api:
            client = api.client()
            assert client.send("POST", "/view/faults", json.dumps(SCRIPT).encode()).status == status
            assert client.post(CUSTOMERS, customers(customer(1))).status == (503 if control else 201)


def test_a_script_that_is_not_understood_is_refused_with_a_sentence():
    with sandbox(control=True) as api:
        client = api.client()
        for body in (b"{", b"{}", b'{"rules": [{"faults": ["earthquake"]}]}', b'{"rules": [{"faults": []}]}', b"[]"):
            answer = client.send("POST", "/view/faults", body)
            assert (answer.status, set(answer.json)) == (422, {"error", "details"})


def test_what_is_not_the_api_is_the_app():
    with sandbox() as api:
        for method in ("GET", "POST"):
            answer = api.client().send(method, "/customers/migrate", b"{}" if method == "POST" else None)
            assert answer.status == 200
            assert answer.headers["content-type"].startswith("text/html")
        assert api.client().send("GET", BASE.removesuffix("/v1")).headers["content-type"].startswith("text/html")
