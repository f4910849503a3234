"""
What goes wrong in the legacy database (rows 1 to 27 of the catalogue), on real servers, through a
whole migration.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from sqlalchemy import create_engine, make_url, text

from masivo_engine import crash_points
from masivo_engine.model.errors import LegacyError, MappingError, Misconfigured, TryAgainLater
from masivo_engine.sandbox.options import Refusal
from tests.databases import proof as shop
from tests.proof.proxy import Proxy
from tests.proof.rig import LIMITS, Rig, Schedule, hurried, rig, sandbox_for, work_on
from tests.variables import variables
from tests.whole_migration import Trip, connections, environment


pytestmark = [
    pytest.mark.slow,
    # A cursor on a connection that is gone cannot be closed any more; psycopg warns of it when it
    # is collected.
    pytest.mark.filterwarnings("ignore:.*ServerCursor.* was deleted while still open:ResourceWarning"),
]


STRICT = Schedule(options={"duplicates": Refusal.IN_QUEUE, "second_transactions": Refusal.IN_QUEUE})


@dataclass(slots=True)
class Remote:
    """A shop on a database server that is reached through a proxy."""

    rig: Rig
    proxy: Proxy
    direct_url: str

    def attempt(self) -> BaseException | None:
        """Do what is left of the first run; return what it ended with."""
        trip = None
        try:
            trip = Trip(self.rig.sandbox, self.rig.legacy_url)
            work_on(trip, "run-1")
        except (Misconfigured, TryAgainLater) as error:
            return error
        finally:
            crash_points.set_trap(None)
            if trip is not None:
                trip.place.hook.close()
                for name in ("legacy_engine", "ledger_engine"):
                    if name in vars(trip.place):
                        vars(trip.place)[name].dispose()
        return None

    def execute(self, statement: str) -> None:
        """Run *statement* on the legacy database, past the proxy."""
        engine = create_engine(self.direct_url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(statement))
        engine.dispose()


@contextmanager
def remote(direct_url: str, tmp_path) -> Iterator[Remote]:
    """Stock a shop on the server and migrate it through a proxy."""
    engine = create_engine(direct_url)
    truth = shop.stock(engine, customers=16)
    engine.dispose()
    url = make_url(direct_url)
    ledger_url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    with Proxy(url.port or 0) as proxy, sandbox_for(STRICT, tmp_path) as sandbox, hurried():
        patience = {"connect_timeout": "2"}
        if url.get_backend_name() != "postgresql":
            patience["read_timeout"] = "2"  # the greeting is read after connecting, under this limit
        through = url.set(port=proxy.port, query={**url.query, **patience})
        legacy_url = through.render_as_string(hide_password=False)
        with environment(connections(sandbox, legacy_url, ledger_url, shop.MAPPING, LIMITS)), variables():
            yield Remote(Rig(sandbox, legacy_url, ledger_url, truth), proxy, direct_url)


@pytest.fixture(params=["postgres", "mariadb"])
def server_shop(request, tmp_path) -> Iterator[Remote]:
    """A shop on each kind of server."""
    with remote(request.getfixturevalue(f"{request.param}_url"), tmp_path) as made:
        yield made


@pytest.mark.parametrize("page", [1, 3])
def test_a_connection_that_drops_between_two_pages_costs_a_try_and_no_row(server_shop, page):
    crash_points.set_trap(crash_points.trap_at(f"page_entered:{page}", server_shop.proxy.cut))
    # A small page may have been fetched already; then nothing was missed.
    assert isinstance(server_shop.attempt(), TryAgainLater | None)
    assert server_shop.attempt() is None
    proof = server_shop.rig.prove()
    assert not proof.problems, str(proof)


def test_a_result_that_is_cut_after_some_bytes_costs_a_try_and_no_row(server_shop):
    server_shop.proxy.limit = 9_000
    assert isinstance(server_shop.attempt(), TryAgainLater | LegacyError)
    server_shop.proxy.limit = 0
    server_shop.proxy.cut()
    assert server_shop.attempt() is None
    proof = server_shop.rig.prove()
    assert not proof.problems, str(proof)


def test_a_database_that_is_down_at_the_start_ends_the_run_before_anything_is_sent(server_shop):
    server_shop.proxy.close()
    error = server_shop.attempt()
    assert isinstance(error, LegacyError | TryAgainLater)
    assert "cannot be reached" in str(error)
    assert not server_shop.rig.sandbox.lines()


def test_a_network_that_swallows_everything_is_given_up(server_shop):
    server_shop.proxy.swallows = True
    assert isinstance(server_shop.attempt(), LegacyError)
    assert not server_shop.rig.sandbox.lines()


def test_a_column_that_was_dropped_ends_the_run_before_anything_is_sent(server_shop):
    server_shop.execute("ALTER TABLE member DROP COLUMN email")
    error = server_shop.attempt()
    assert isinstance(error, MappingError)
    assert "customers.sql" in str(error)
    assert not [line for line in server_shop.rig.sandbox.lines() if line.method == "POST"]


def test_a_login_that_is_withdrawn_in_the_middle_is_said_and_costs_no_row(postgres_url, tmp_path):
    url = make_url(postgres_url)
    with remote(postgres_url, tmp_path) as made:
        role = f"masivo_reader_{url.database}"
        made.execute(f"CREATE ROLE {role} LOGIN")
        try:
            made.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
            as_reader = make_url(made.rig.legacy_url).set(username=role).render_as_string(hide_password=False)
            variables = connections(made.rig.sandbox, as_reader, made.rig.ledger_url, shop.MAPPING, LIMITS)
            with environment(variables):

                def withdraw() -> None:
                    made.execute(f"ALTER ROLE {role} NOLOGIN")
                    made.proxy.cut()

                crash_points.set_trap(crash_points.trap_at("page_entered:2", withdraw))
                assert isinstance(made.attempt(), TryAgainLater | LegacyError)
                made.execute(f"ALTER ROLE {role} LOGIN")
                assert made.attempt() is None
            assert not made.rig.prove().problems
        finally:
            made.execute(f"DROP OWNED BY {role}")
            made.execute(f"DROP ROLE {role}")


def change(running: Rig, *statements: str) -> None:
    """Change the shop while no task runs."""
    engine = create_engine(running.legacy_url)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


@pytest.mark.parametrize("moment", ["'1999-01-01 00:00:00.000000'", "'2099-01-01 00:00:00.000000'", "NULL"])
def test_a_row_that_turns_up_late_is_found_by_the_next_run_whatever_it_says_of_its_change(moment):
    """
    Late commits, replicas that lag, clocks that are wrong: a run without a window reads everything,
    and sends what is new.
    """
    with rig(STRICT, customers=16) as running:
        change(
            running,
            "CREATE TABLE later AS SELECT * FROM sale WHERE id = 'S001-00'",
            "DELETE FROM sale WHERE id = 'S001-00'",
        )
        assert running.attempt("run-1") == "sent"
        change(
            running,
            "INSERT INTO sale SELECT * FROM later",
            f"UPDATE sale SET changed_at = {moment} WHERE id = 'S001-00'",
        )
        if "2099" in moment:
            with pytest.raises(Misconfigured, match=r"1 rows of events changed after .*, which is in the future"):
                running.attempt("run-2")
            trip = running.trip()
            trip.migrate("run-3", overrides=("future_changes",))
            trip.close()
        else:
            assert running.attempt("run-2") == "sent"
        proof = running.prove()
        assert not proof.problems, str(proof)


def test_a_database_that_was_restored_from_an_older_copy_makes_us_send_nothing_twice():
    with rig(STRICT, customers=16) as running:
        assert running.attempt("run-1") == "sent"
        change(
            running,
            "CREATE TABLE newer AS SELECT * FROM sale WHERE id > 'S007-20'",
            "DELETE FROM sale WHERE id > 'S007-20'",
        )
        with pytest.raises(Misconfigured, match="looks restored from an older copy"):
            running.attempt("run-2")
        change(running, "INSERT INTO sale SELECT * FROM newer")
        assert running.attempt("run-3") == "sent nothing"
        assert not running.prove().problems
