"""
The connection to the API: every way to write it down, and what is said of the wrong ones.
"""

from __future__ import annotations

import pytest

from masivo.hook import MasivoHook
from masivo.wire import tokens
from masivo_engine.model.errors import Misconfigured
from masivo_engine.model.limits import Limits
from tests.plugins.masivo.wire.scripted_server import KEY, ScriptedServer, jwt


@pytest.mark.parametrize(
    ("conn", "base_url"),
    [
        ({"host": "app.masivo.ai", "schema": None}, "https://app.masivo.ai/api/storefront/v1"),
        ({"host": "https://APP.masivo.ai:443/"}, "https://app.masivo.ai/api/storefront/v1"),
        ({"host": "https://app.masivo.ai/v9/"}, "https://app.masivo.ai/v9"),
        ({"host": "app.masivo.ai", "schema": "https", "port": 8443}, "https://app.masivo.ai:8443/api/storefront/v1"),
        ({"host": "sandbox", "port": 8099}, "http://sandbox:8099/api/storefront/v1"),
        ({"host": "::1", "port": 8099}, "http://[::1]:8099/api/storefront/v1"),
        ({"host": "sandbox", "extra": {"base_path": "/"}}, "http://sandbox"),
        ({"host": "sandbox", "extra": {"base_path": "api/v2/"}}, "http://sandbox/api/v2"),
    ],
)
def test_the_address_is_put_together_from_host_schema_port_and_path(hook_for, conn, base_url):
    assert hook_for(80, conn={"port": None, **conn}).target.base_url == base_url


def test_a_connection_may_be_given_as_a_uri(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_MASIVO_API", "masivo://:key@127.0.0.1:8099/http?account=dev&newer_fields=true")
    hook = MasivoHook()

    assert hook.target.base_url == "http://127.0.0.1:8099/api/storefront/v1"
    assert (hook.limits.per_hour, hook.newer_fields, hook.target.api_key) == (250, True, "key")


@pytest.mark.parametrize(
    ("extra", "limits"),
    [
        ({}, Limits()),
        ({"account": "dev"}, Limits(per_hour=250)),
        ({"account": "prod"}, Limits(per_hour=1000)),
        ({"account": "dev", "per_hour": 300, "interval_s": 0.2}, Limits(per_hour=300, interval_s=0.2)),
        ({"per_hour": "250", "margin_s": "0.5", "account": "", "records": None}, Limits(per_hour=250, margin_s=0.5)),
        ({"records": 10, "customers": 5, "body_bytes": 99, "slice_requests": 2}, Limits(10, 5, 99, slice_requests=2)),
    ],
)
def test_limits_come_from_the_connection(hook_for, extra, limits):
    assert hook_for(80, **extra).limits == limits


@pytest.mark.parametrize(
    ("extra", "field"),
    [
        ({"per_hour": -1}, "per_hour"),
        ({"per_hour": 0}, "per_hour"),
        ({"per_hour": 2.5}, "per_hour"),
        ({"per_hour": True}, "per_hour"),
        ({"per_hour": "many"}, "per_hour"),
        ({"per_hour": [1]}, "per_hour"),
        ({"records": 1001}, "records"),
        ({"customers": 0}, "customers"),
        ({"interval_s": -0.1}, "interval_s"),
        ({"interval_s": "nan"}, "interval_s"),
        ({"deadline_s": 0}, "deadline_s"),
        ({"deadline_s": float("inf")}, "deadline_s"),
        ({"account": "test"}, "account"),
        ({"newer_fields": "perhaps"}, "newer_fields"),
        ({"token": 5}, "token"),
        ({"verify": False}, "verify"),
        ({"verify": "false"}, "verify"),
        ({"verify": "/no/such/bundle.pem"}, "verify"),
    ],
)
def test_a_wrong_extra_is_named(hook_for, extra, field):
    with pytest.raises(Misconfigured, match=field):
        _ = hook_for(80, **extra).limits


@pytest.mark.parametrize(
    ("conn", "words"),
    [
        ({"password": ""}, "has no API key"),
        ({"extra": {"token": "t"}}, "an API key and a static token"),
        ({"password": "key with space"}, "copy it again"),
        ({"host": ""}, "has no host"),
        ({"host": "https://user:secret@app.masivo.ai"}, "holds more than an address"),
        ({"host": "https://"}, "is no address"),
        ({"host": "https://app.masivo.ai:port"}, "is no address"),
        ({"schema": "ftp"}, "neither http nor https"),
    ],
)
def test_a_connection_that_cannot_be_used_says_why_and_shows_no_secret(hook_for, conn, words):
    with pytest.raises(Misconfigured, match=words) as wrong:
        hook_for(80, conn=conn).authorize()

    assert [secret for secret in (KEY, "secret", "key with") if secret in str(wrong.value)] == []


def test_a_misspelt_extra_is_pointed_out(hook_for, caplog):
    _ = hook_for(80, per_hours=3).limits

    assert "did you mean 'per_hour'?" in caplog.text


def test_a_connection_that_is_not_defined_is_named_with_its_variable():
    with pytest.raises(Misconfigured, match="AIRFLOW_CONN_NOT_THERE"):
        _ = MasivoHook("not_there").limits


def test_the_fingerprint_tells_accounts_apart_and_shows_nothing(hook_for):
    def fingerprint(**conn):
        return hook_for(80, conn=conn).fingerprint

    named = {"account_id": "shop"}
    base = fingerprint(extra=named)
    assert base == fingerprint(extra=named | {"per_hour": 5}) == fingerprint(password="another", extra=named)
    others = {"host": "sandbox"}, {"port": 81}, {"extra": {"account_id": "other"}}
    assert len({base, *(fingerprint(**{"extra": named} | other) for other in others)}) == 4
    assert len(base) == 16
    assert int(base, 16) >= 0


def test_the_fingerprint_of_a_static_token_outlives_its_renewal(hook_for):
    def fingerprint(token):
        return hook_for(80, conn={"password": "", "extra": {"token": token}}).fingerprint

    assert fingerprint(jwt(10, sub="shop")) == fingerprint(jwt(99, sub="shop", iat=5))
    assert fingerprint(jwt(10, sub="shop")) != fingerprint(jwt(10, sub="other"))


def test_the_token_that_a_key_buys_names_the_account_and_the_key_does_not(hook_for):

    with ScriptedServer(tokens=[jwt(3600, sub="shop")]) as server:
        old = hook_for(server, conn={"password": "old"}).fingerprint
        tokens._grants.clear()
        assert hook_for(server, conn={"password": "new"}).fingerprint == old
        assert hook_for(server, conn={"password": "", "extra": {"token": jwt(99, sub="shop")}}).fingerprint == old
        assert hook_for(server, conn={"password": "", "extra": {"token": jwt(99, sub="other")}}).fingerprint != old


@pytest.mark.parametrize(
    "token",
    ["opaque", jwt(3600), jwt(3600, iss="masivo", aud="storefront", scope="migrate", jti="1")],
    ids=["opaque", "times alone", "nothing of the account"],
)
def test_a_token_that_names_nobody_is_refused_with_what_to_add(hook_for, token):
    with (
        ScriptedServer(tokens=[token]) as server,
        pytest.raises(Misconfigured, match=r"which account connection 'masivo_api' is about.* extra `account_id`"),
    ):
        _ = hook_for(server).fingerprint


def test_secrets_do_not_show_in_the_target(hook_for):
    assert KEY not in repr(hook_for(80).target)


@pytest.mark.parametrize(
    ("extra", "field", "least"),
    [
        ({"deadline_s": 900, "settle_after_s": 0, "certain_after_s": 0, "settle_reads": 1}, "settle_after_s", "920"),
        ({"deadline_s": 900}, "settle_after_s", "920"),
        ({"settle_after_s": 60}, "settle_after_s", "140"),
        ({"settle_after_s": 139.5}, "settle_after_s", "140"),
        ({"certain_after_s": 60}, "certain_after_s", "180"),
    ],
)
def test_patience_that_ends_before_a_request_can_have_arrived_is_refused(hook_for, extra, field, least):
    with pytest.raises(Misconfigured, match=f"`{field}` of connection 'masivo_api'.*{least}"):
        _ = hook_for(443, conn={"host": "app.masivo.ai", "schema": "https", "port": None, "extra": extra}).target


@pytest.mark.parametrize("extra", [{}, {"deadline_s": 60, "settle_after_s": 80, "certain_after_s": 80}])
def test_patience_that_lasts_long_enough_is_taken(hook_for, extra):
    hook = hook_for(443, conn={"host": "app.masivo.ai", "schema": "https", "port": None, "extra": extra})
    assert hook.patience.settle_after_s >= hook.target.deadline_s + 20


def test_the_sandbox_on_this_machine_may_be_hurried(hook_for):
    assert hook_for(80, settle_after_s=0, certain_after_s=0).patience.settle_after_s == 0
