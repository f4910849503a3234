from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from masivo.hook import MasivoHook
from masivo_engine import crash_points
from masivo_engine.batching.packers import one_request
from masivo_engine.delivery.lane import Lane
from masivo_engine.ledger import schema
from masivo_engine.model.answers import Verdict, verdict
from masivo_engine.model.errors import LedgerError, Moved, Stopped, TryAgainLater
from masivo_engine.model.rows import Entity
from masivo_engine.sandbox.faults.faults import Rule, Script
from tests.builders import claimed, see
from tests.include.delivery.delivery_rig import LIMITS, bench, customer
from tests.plugins.masivo.wire.scripted_server import jwt


KEYS = ["C1", "C2"]


def faults(*names, times=0):
    return {"faults": Script(rules=(Rule(faults=names, times=times),))}


def lane(on):
    with on.ledger.reading() as connection:
        return connection.execute(select(schema.lane)).one()


def batches(on):
    with on.ledger.reading() as connection:
        return [(row.state, row.status, row.requests) for row in connection.execute(select(schema.batch))]


def seen(on, *numbers):
    """A try that has read the customers *numbers*."""
    writer = on.writer(Entity.CUSTOMERS)
    see(writer, *map(customer, numbers))
    return writer


def send(on):
    return sent(on.sending(seen(on, 1, 2)), 1, 2)


def sent(sending, *numbers):
    _, answer = sending.send(one_request([[customer(number)] for number in numbers], 1))
    return answer


@pytest.mark.parametrize("fault", ["429", "429_s", "429_date", "429_past", "429_neg", "429_bad"])
def test_a_429_freezes_the_lane_for_all_and_costs_no_try(tmp_path, fault):
    with bench(tmp_path, **faults(fault, times=9), retry_after_s=0) as on:
        assert send(on).status == 201
        assert lane(on).frozen_until > 0
        assert batches(on) == [("delivered", 201, 10)]
        assert on.accepted() == KEYS


@pytest.mark.parametrize("fault", ["503", "503_but_accepted", "408_but_accepted"])
def test_an_answer_of_a_gateway_is_a_doubt_and_never_tried_again_blindly(tmp_path, fault):
    with bench(tmp_path, **faults(fault)) as on:
        assert send(on).status == int(fault[:3])
        assert batches(on) == [("in_doubt", int(fault[:3]), 1)]
        assert on.states() == dict.fromkeys(KEYS, ("in_doubt", "server_error"))
        assert on.posts() == 1


def test_a_503_of_a_limiter_is_tried_again_and_then_given_back_for_a_later_try(tmp_path):
    with bench(tmp_path, **faults("503_s"), retry_after_s=0) as on:
        with pytest.raises(TryAgainLater, match="did not take the batch in 6 tries"):
            send(on)
        assert batches(on) == [("given_back", 503, 6)]
        assert on.states() == dict.fromkeys(KEYS, ("held", "api_unavailable"))

        on.sandbox.follow(Script())
        claimed(on.ledger, 1)
        assert send(on).status == 201
        assert on.accepted() == KEYS


def test_a_long_freeze_is_waited_for_outside(tmp_path):
    with bench(tmp_path, **faults("429_huge")) as on:
        with pytest.raises(TryAgainLater) as later:
            send(on)
        assert later.value.wait_s == 86400
        assert batches(on) == [("given_back", 429, 1)]
        assert not [seconds for seconds in on.slept if seconds > 600]


def test_many_short_freezes_that_add_up_are_waited_for_outside_too(tmp_path):
    with bench(tmp_path, **faults("429_s"), retry_after_s=250) as on:
        with pytest.raises(TryAgainLater) as later:
            send(on)
        assert later.value.wait_s == 250
        assert batches(on) == [("given_back", 429, 3)]


def test_a_full_hour_gives_the_batch_back_without_a_request(tmp_path):
    with bench(tmp_path) as on:
        sending = on.sending(seen(on, 1, 2, 3))
        sending._lane._limits = replace(LIMITS, per_hour=1)
        assert sent(sending, 3).status == 201
        with pytest.raises(TryAgainLater) as later:
            sent(sending, 1, 2)
        assert later.value.wait_s > 3000
        assert batches(on) == [("delivered", 201, 1), ("given_back", None, 0)]
        assert {on.states()[key] for key in KEYS} == {("held", "api_unavailable")}
        assert on.posts() == 1


def test_a_freeze_at_the_gate_leaves_nothing_that_counts_as_sent(tmp_path):
    """Another task's 429 comes between this one's write-ahead and its POST."""
    with bench(tmp_path) as on:
        limits = replace(LIMITS, interval_s=0.001)
        sending = on.sending(seen(on, 1, 2))
        sending._lane._limits = limits
        other = Lane(on.ledger.engine, "account", limits)
        crash_points.set_trap(crash_points.trap_at("sending", lambda: other.freeze(3000, too_fast=False)))
        try:
            with pytest.raises(TryAgainLater, match="the API asked everybody to wait"):
                sent(sending, 1, 2)
        finally:
            crash_points.set_trap(None)
        assert batches(on) == [("given_back", 0, 1)]
        assert on.states() == dict.fromkeys(KEYS, ("held", "api_unavailable"))
        assert (on.posts(), on.slept) == (0, [])


def test_an_api_that_cannot_be_reached_is_tried_and_then_left_for_later(tmp_path):
    with bench(tmp_path) as on:
        on.hook.authorize()
        on.sandbox.close()
        with pytest.raises(TryAgainLater, match="did not take the batch"):
            send(on)
        assert [state for state, *_ in batches(on)] == ["given_back"]
        assert len(on.slept) >= 5


@pytest.mark.parametrize(
    ("fault", "raises", "reason"), [("503", TryAgainLater, "api_unavailable"), ("403", Stopped, "run_stopped")]
)
def test_a_batch_without_a_token_never_counts_as_being_sent(tmp_path, fault, raises, reason):
    """The time that a token takes would come on top of its POST's, and others count on that."""
    with bench(tmp_path, faults=Script(rules=(Rule(faults=(fault,), path="/auth/authorize", method="GET"),))) as on:
        with pytest.raises(raises):
            send(on)
        assert batches(on) == [("given_back", None, 0)]
        assert on.states() == dict.fromkeys(KEYS, ("held", reason))
        assert on.posts() == 0


def test_a_key_that_is_refused_twice_stops_the_run(tmp_path):
    with bench(tmp_path, **faults("401")) as on:
        with pytest.raises(Stopped, match="masivo_api"):
            send(on)
        assert on.posts() == 2  # the second with a new token
        assert on.states() == dict.fromkeys(KEYS, ("held", "run_stopped"))


def _with_token(token):
    """A hook whose connection has a static token instead of a key."""
    fields = json.loads(os.environ["AIRFLOW_CONN_MASIVO_API"])
    fields = {**fields, "password": "", "extra": {**fields["extra"], "token": token}}
    os.environ["AIRFLOW_CONN_MASIVO_API"] = json.dumps(fields)
    return MasivoHook()


def test_a_static_token_that_is_no_longer_accepted_stops_the_run_with_one_sentence(tmp_path):
    script = Script(rules=(Rule(faults=("401",), nth=(2,)),))
    with bench(tmp_path, faults=script) as on:
        hook = _with_token(on.hook._tokens.current())
        sending = on.sending(seen(on, 1, 2, 3), sender=hook)
        assert sent(sending, 3).status == 201
        with pytest.raises(Stopped) as stopped:
            sent(sending, 1, 2)
        hook.close()
        said = (
            "the API does not accept the key or token of connection masivo_api (401); correct it there; nothing more"
            " was sent"
        )
        assert str(stopped.value) == said
        assert on.posts() == 2
        assert {on.states()[key] for key in KEYS} == {("held", "run_stopped")}


def test_a_static_token_that_has_expired_is_said_to_have(tmp_path):
    with bench(tmp_path) as on:
        hook = _with_token(jwt(-10))
        with pytest.raises(
            Stopped, match=r"^the token of connection 'masivo_api' has expired; put a fresh one .*; nothing more"
        ):
            sent(on.sending(seen(on, 1, 2), sender=hook), 1, 2)
        hook.close()
        assert on.posts() == 0


def test_a_key_that_is_withdrawn_in_the_middle_is_named(tmp_path):
    with bench(tmp_path, faults=Script(rules=(Rule(faults=("401",), path="/auth/authorize", method="GET"),))) as on:
        with pytest.raises(Stopped, match=r"^Masivo refuses the API key of connection 'masivo_api' \(HTTP 401\)"):
            send(on)
        assert on.posts() == 0
        assert on.states() == dict.fromkeys(KEYS, ("held", "run_stopped"))


def test_a_key_that_is_refused_once_costs_nothing(tmp_path):
    with bench(tmp_path, **faults("401", times=1)) as on:
        assert send(on).status == 201


@pytest.mark.parametrize("fault", ["403", "404", "422_html"])
def test_what_is_refused_at_an_address_where_the_key_is_answered_is_refused_for_what_it_holds(tmp_path, fault):
    with bench(tmp_path, **faults(fault)) as on:
        answer = send(on)
        assert verdict(answer) is Verdict.REFUSED
        assert on.posts() == 1


@pytest.mark.parametrize("fault", ["403", "404", "422_html"])
def test_where_the_key_is_answered_nowhere_the_run_stops(tmp_path, fault):
    rules = (Rule(faults=(fault,)), Rule(faults=("403",), path="/customers/*", method="GET"))
    with bench(tmp_path, faults=Script(rules=rules)) as on:
        with pytest.raises(Stopped, match="nothing more was sent"):
            send(on)
        assert on.posts() == 1
        assert on.states() == dict.fromkeys(KEYS, ("held", "run_stopped"))


@pytest.mark.parametrize("fault", ["301", "307", "200_html"])
def test_an_answer_that_cannot_be_about_records_stops_the_run_and_gives_them_back(tmp_path, fault):
    with bench(tmp_path, **faults(fault)) as on:
        with pytest.raises(Stopped, match="nothing more was sent"):
            send(on)
        assert on.posts() == 1
        assert on.states() == dict.fromkeys(KEYS, ("held", "run_stopped"))


@pytest.mark.parametrize("fault", ["200", "202", "204"])
def test_a_success_that_the_contract_does_not_have_stops_the_run_and_is_not_sent_again(tmp_path, fault):
    with bench(tmp_path, **faults(fault)) as on:
        with pytest.raises(Stopped):
            send(on)
        assert on.states() == dict.fromkeys(KEYS, ("in_doubt", "server_error"))


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("500", "server_error"),
        ("502", "server_error"),
        ("504_but_accepted", "server_error"),
        ("rst_before", "no_answer"),
        ("rst_after_accept", "no_answer"),
        ("close_after_accept", "no_answer"),
        ("garbage", "no_answer"),
        ("hang_after_accept", "no_answer"),
    ],
)
def test_what_left_without_a_usable_answer_is_in_doubt_and_never_repeated(tmp_path, fault, reason):
    with bench(tmp_path, **faults(fault)) as on:
        send(on)
        assert on.posts() == 1
        assert on.states() == dict.fromkeys(KEYS, ("in_doubt", reason))


@pytest.mark.parametrize("fault", ["truncated", "bad_gzip", "ok_html_body", "huge_header"])
def test_a_status_line_that_says_201_counts_whatever_follows(tmp_path, fault):
    with bench(tmp_path, **faults(fault)) as on:
        send(on)
        # A header that cannot be read takes the status with it.
        assert on.states()["C1"][0] in ({"delivered"} if fault != "huge_header" else {"delivered", "in_doubt"})


class Failing:
    """A lane or a ledger that cannot be asked, once, for *what*; all else is as it was."""

    def __init__(self, whole, what):
        self._whole, self._what = whole, what

    def __getattr__(self, name):
        if name != self._what:
            return getattr(self._whole, name)
        self._what = ""
        raise OperationalError("the ledger is away", None, Exception("gone"))


@pytest.mark.parametrize("what", ["turn", "start", "mark_sending", "enter_receipt"])
def test_a_ledger_that_fails_for_a_moment_leaves_no_batch_packed_and_none_sent_that_counts_as_not_sent(tmp_path, what):
    with bench(tmp_path) as on:
        sending = on.sending(seen(on, 1, 2))
        sending._lane, sending._writer = Failing(sending._lane, what), Failing(sending._writer, what)
        with pytest.raises(OperationalError), sending.giving_back():
            sent(sending, 1)
        is_sent = what == "enter_receipt"
        is_out = what in {"start", "enter_receipt"}
        assert on.posts() == is_sent
        assert [state for state, *_ in batches(on)] == (["sending"] if is_out else ["given_back"])
        waits = ("held", "not_yet_sent")
        assert on.states() == {"C1": waits if is_out else ("held", "run_stopped"), "C2": waits}
        claimed(on.ledger, 1)
        stopped = ("held", "run_stopped")
        assert on.states() == {"C1": ("in_doubt", "task_died") if is_out else stopped, "C2": stopped}


def test_the_high_water_mark_is_raised_after_the_last_write_before_a_request(tmp_path, monkeypatch):
    with bench(tmp_path) as on:
        order, real = [], on.ledger.raise_high_water
        writer = seen(on, 1, 2)
        sending = on.sending(writer)
        monkeypatch.setattr(on.ledger, "raise_high_water", lambda: (order.append(batches(on)), real()))
        post = on.hook.post
        monkeypatch.setattr(on.hook, "post", lambda *given: (order.append("posted"), post(*given))[1])
        assert sent(sending, 1, 2).status == 201
        assert order == [[("sending", None, 1)], "posted"]


def test_where_the_high_water_mark_cannot_be_raised_nothing_is_sent(tmp_path, monkeypatch):
    def fails():
        raise LedgerError("an older copy")

    with bench(tmp_path) as on:
        sending = on.sending(seen(on, 1, 2))
        monkeypatch.setattr(on.ledger, "raise_high_water", fails)
        with pytest.raises(LedgerError), sending.giving_back():
            sent(sending, 1, 2)
        assert on.posts() == 0
        assert on.states() == dict.fromkeys(KEYS, ("held", "run_stopped"))


def test_what_is_out_already_is_not_packed_again(tmp_path):
    with bench(tmp_path, **faults("rst_before")) as on:
        writer = seen(on, 1, 2)
        sending = on.sending(writer)
        sent(sending, 1)
        see(writer, customer(1))
        with pytest.raises(Moved):
            sent(sending, 1, 2)
        assert on.posts() == 1
        assert len(batches(on)) == 1
