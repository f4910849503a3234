"""
What real databases hold, each on the database that it came from: what the check says, and what a
run makes of it.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from typing import Any

import pytest
from sqlalchemy import String, create_engine, make_url
from sqlalchemy.pool import NullPool

from masivo.connections import engines
from masivo_engine.checks.check import check
from masivo_engine.model.errors import MappingError, TryAgainLater
from masivo_engine.model.limits import Limits
from masivo_engine.model.rows import Entity
from masivo_engine.model.runs import Slice, Window
from masivo_engine.planning.guards import Guard
from masivo_engine.source.database import Database
from masivo_engine.source.reader import Source
from tests import mapping_folder, servers
from tests.databases.sound import CUSTOMERS, TRANSACTIONS, SoundShop
from tests.whole_migration import journey


def codes(shop: SoundShop, files: Any = None) -> dict[tuple[str, str], str]:
    return {(one.where, one.code): one.sentence for one in shop.check(files) if one.severity != "note"}


def taken(trip: Any, path: str) -> dict[str, Any]:
    """Return what the sandbox has taken, by key, as it was sent."""
    return {key: 1 for line in trip.posts() if line.path.endswith(path) for key, _ in line.accepted}


def left(made: Any) -> Counter[tuple[str, str]]:
    return Counter({(one.entity.value, one.reason): one.rows for one in made.troubles})


def shop_on(url: str, folder: Any, **options: Any) -> SoundShop:
    return SoundShop(create_engine(url), folder, **options)


def run_of(url: str, folder: Any, **options: Any) -> Any:
    with journey(url, f"sqlite:///{folder / 'ledger.sqlite'}", mapping=str(folder / "mapping")) as trip:
        made = trip.migrate("first", **options)
        assert made.adds_up
        return made, list(trip.api.bodies)


@pytest.mark.parametrize(
    ("customer", "owner"), [("AB100", "ab100"), ("AB100", "AB100 "), ("AB100", "ÁB100"), ("Peña", "pena")]
)
def test_a_child_whose_owner_mariadb_takes_for_a_customer_goes_to_that_customer(mariadb_url, tmp_path, customer, owner):
    shop = shop_on(mariadb_url, tmp_path, keys=String(40))
    shop.run([f"UPDATE member SET no = '{customer}' WHERE no = 'M0007'"])
    shop.run([f"UPDATE {table} SET member = '{customer}' WHERE member = 'M0007'" for table in ("lot", "sale", "entry")])
    shop.run(
        [
            f"UPDATE {table} SET member = '{owner}' WHERE MOD(no, 2) = 1 AND no BETWEEN 7000 AND 7999"
            for table in ("sale", "entry")
        ]
    )
    assert {code for _, code in codes(shop)} <= {"keys_alike"}
    made, bodies = run_of(mariadb_url, tmp_path)
    assert left(made) == Counter()
    assert not any(f'"{owner.strip()}"'.encode() in body for _, body in bodies if owner.strip() != customer)
    shop.engine.dispose()


@pytest.mark.parametrize("collation", ["citext", "nondeterministic"])
def test_a_child_goes_to_the_customer_by_postgresqls_own_comparison(postgres_url, tmp_path, collation):
    shop = shop_on(postgres_url, tmp_path, keys=String(40))
    kind = "citext"
    if collation == "citext":
        try:
            shop.run(["CREATE EXTENSION citext"])
        except Exception:  # noqa: BLE001 (a server without contrib)
            pytest.skip("this PostgreSQL has no citext")
    else:
        shop.run(["CREATE COLLATION blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"])
        kind = 'varchar(40) COLLATE "blind"'
    shop.run(["ALTER TABLE member ALTER no TYPE " + kind])
    shop.run([f"ALTER TABLE {table} ALTER member TYPE {kind}" for table in ("lot", "sale", "entry")])
    shop.run([f"UPDATE {table} SET member = 'm0007' WHERE no IN (7001, 7003)" for table in ("sale", "entry")])
    assert codes(shop) == {}
    made, _ = run_of(postgres_url, tmp_path)
    assert left(made) == Counter()
    shop.engine.dispose()


def test_where_the_database_tells_spellings_apart_check_and_run_both_say_that_nobody_is_there(postgres_url, tmp_path):
    shop = shop_on(postgres_url, tmp_path, keys=String(40))
    shop.run(["UPDATE sale SET member = 'm0007' WHERE no = 7001"])
    assert {("events", "customer_missing")} == set(codes(shop))
    made, _ = run_of(postgres_url, tmp_path)
    assert left(made) == Counter({("events", "customer_missing"): 1})
    shop.engine.dispose()


def test_a_float_of_mariadb_is_named_and_sent_as_what_it_is(mariadb_url, tmp_path):
    shop = shop_on(mariadb_url, tmp_path)
    shop.run(["ALTER TABLE lot MODIFY points FLOAT", "ALTER TABLE sale MODIFY total FLOAT"])
    shop.run(["UPDATE lot SET points = 1234567 WHERE member = 1", "UPDATE entry SET points = 1234477 WHERE no = 1000"])
    shop.run(["UPDATE sale SET total = 123456.78 WHERE no = 1000"])
    found = codes(shop)
    assert "amount of customers.balance.sql" in found["customers", "single_precision"]
    assert ("events", "single_precision") in found
    made, bodies = run_of(mariadb_url, tmp_path)
    assert left(made) == Counter()
    assert any(b'"amount":1234567,' in body or b'"amount":1234567}' in body for _, body in bodies)
    assert any(b'"value":123456.78' in body for _, body in bodies)
    assert any(b'"value":20.5' in body for _, body in bodies)
    shop.engine.dispose()


def test_pipes_that_are_or_are_refused_by_check_and_run_and_the_session_may_take_them_as_they_are(
    mariadb_url, tmp_path
):
    shop = shop_on(mariadb_url, tmp_path)
    files = {"transactions.sql": TRANSACTIONS.replace("e.note AS", "e.note || ' no ' || e.no AS")}
    assert "CONCAT" in codes(shop, files)["transactions", "sql_fails"]
    with pytest.raises(MappingError, match="takes for OR"):
        Source(shop.engine, shop.mapping(files), Entity.TRANSACTIONS)
    told = "SET SESSION sql_mode = CONCAT(@@sql_mode, ',PIPES_AS_CONCAT')"
    session = engines.legacy(make_url(mariadb_url).update_query_dict({"init_command": told}))
    mapping = shop.mapping(files)
    assert {one.code for one in check(mapping, session, limits=Limits()) if one.severity != "note"} == set()
    quoted = TRANSACTIONS.replace("e.note AS", "CONCAT(e.note, ' || ', e.no) /* a || b */ AS")
    assert codes(shop, {"transactions.sql": quoted}) == {}
    session.dispose()
    shop.engine.dispose()


def test_a_text_that_is_the_same_everywhere_and_details_without_the_key_are_said(sqlite_url, tmp_path):
    shop = shop_on(sqlite_url, tmp_path)
    files = {
        "transactions.sql": TRANSACTIONS.replace("e.note AS", "'1' AS"),
        "customers.sql": CUSTOMERS.replace("m.name AS", "'Client' AS"),
    }
    found = codes(shop, files)
    assert {("transactions", "same_text"), ("transactions", "details_without_key"), ("customers", "same_text")} == set(
        found
    )
    assert "300 of 300" in found["transactions", "details_without_key"]
    shop.engine.dispose()


def test_one_customer_as_number_and_as_text_is_named_by_check_and_plan(sqlite_url, tmp_path):
    shop = shop_on(sqlite_url, tmp_path)
    shop.run(
        [
            "CREATE TABLE other AS SELECT * FROM entry",
            "DROP TABLE entry",
            "CREATE TABLE entry (no, member, kind, points, note, happened, changed)",
        ]
    )
    shop.run(["INSERT INTO entry SELECT no, member, kind, points, note, happened, changed FROM other"])
    shop.run(["UPDATE entry SET member = CAST(member AS TEXT) WHERE no IN (1000, 1001)"])
    assert "written in two ways" in codes(shop)["transactions", "written_two_ways"]
    with pytest.raises(MappingError, match="written in two ways"):
        run_of(sqlite_url, tmp_path)
    shop.engine.dispose()


def test_a_customer_with_a_blank_before_the_name_is_named_before_the_set_is_cut(postgres_url, tmp_path):
    shop = shop_on(postgres_url, tmp_path, keys=String(40))
    shop.run(["UPDATE entry SET member = ' M0007' WHERE no = 7001"])
    assert ("transactions", "written_two_ways") in codes(shop)
    with pytest.raises(MappingError, match="written in two ways"):
        run_of(postgres_url, tmp_path)
    shop.engine.dispose()


def test_change_times_in_several_forms_are_refused_with_their_numbers(sqlite_url, tmp_path):
    shop = shop_on(sqlite_url, tmp_path)
    shop.run(
        [
            "UPDATE sale SET changed = replace(changed, ' ', 'T') WHERE no % 10 = 1",
            "UPDATE sale SET changed = '28/11/2026 10:05' WHERE no = 1000",
        ]
    )
    said = codes(shop)["events", "written_two_ways"]
    for part in ("269 like '9999-99-99 99:99:99'", "30 like '9999-99-99T99:99:99'", "1 like '99/99/9999 99:99'"):
        assert part in said
    with pytest.raises(MappingError, match="several forms"):
        run_of(sqlite_url, tmp_path)
    shop.engine.dispose()


def test_names_encoded_twice_are_counted_and_sent_as_they_are(sqlite_url, tmp_path):
    shop = shop_on(sqlite_url, tmp_path)
    for number, name in enumerate(("José", "MarÃ\xada", "PeÃ±a", "StanisÅ\u201aaw", "Ñandú Ã"), 1):
        shop.run([f"UPDATE member SET name = '{name}' WHERE no = {number}"])
    found = codes(shop)
    assert "name looks encoded twice in 3 of 5 values" in found["customers", "encoded_twice"]
    assert "Pe" not in found["customers", "encoded_twice"]
    shop.engine.dispose()


def test_keys_with_signs_that_nobody_sees_are_counted_by_code_point_and_nobody_is_taken_for_another(
    sqlite_url, tmp_path
):
    shop = shop_on(sqlite_url, tmp_path, keys=String(40))
    shop.run(
        [
            "UPDATE member SET no = '\ufeffM0007' WHERE no = 'M0007'",
            "UPDATE member SET no = 'M0008\u200b' WHERE no = 'M0008'",
        ]
    )
    found = codes(shop)
    assert "U+FEFF" in found["customers", "invisible_sign"]
    assert "U+200B" in found["customers", "invisible_sign"]
    made, _ = run_of(sqlite_url, tmp_path, overrides=[Guard.CUSTOMERS_MISSING])
    assert left(made)["customers", "invisible_sign"] == 2
    assert left(made)["transactions", "customer_missing"] == 20
    shop.engine.dispose()


def test_a_timestamp_of_mariadb_is_read_in_the_mappings_zone_whatever_the_server_has(mariadb_url, tmp_path):
    made = create_engine(mariadb_url)
    with made.begin() as on:
        on.exec_driver_sql("SET time_zone = '+00:00'")
        on.exec_driver_sql("CREATE TABLE customer (id INT, name TEXT, email TEXT, registered TIMESTAMP)")
        on.exec_driver_sql("INSERT INTO customer VALUES (1, 'Ana', 'a@example.com', '2026-01-05 15:00:00')")
    made.dispose()
    for server in ("+02:00", "-05:00", "SYSTEM"):
        url = make_url(mariadb_url).update_query_dict({"init_command": f"SET time_zone = '{server}'"})
        mapping = mapping_folder.mapping(tmp_path / "mapping", {"mapping.yaml": "timezone: America/Bogota\n"})
        engine = engines.legacy(url, "America/Bogota")
        ((row,),) = Source(engine, mapping, Entity.CUSTOMERS).pages(Slice.everything(Entity.CUSTOMERS), Window())
        assert row.values[3].isoformat() == "2026-01-05T10:00:00"
        engine.dispose()
        unpinned = create_engine(url)
        if server != "-05:00":  # which happens to be the mapping's
            with pytest.raises(MappingError, match="TIMESTAMP"):
                Source(unpinned, mapping, Entity.CUSTOMERS)
        unpinned.dispose()


def test_a_roles_settings_change_nothing_of_what_postgresql_hands_out(postgres_url, tmp_path):
    made = create_engine(postgres_url)
    database = make_url(postgres_url).database
    with made.begin() as on:
        on.exec_driver_sql("CREATE TABLE customer (id INT, name TEXT, email TEXT, registered TIMESTAMPTZ)")
        on.exec_driver_sql("INSERT INTO customer VALUES (1, 'Ana', 'a@example.com', '2026-01-05 03:00:00+00')")
        for setting in ("timezone = 'Asia/Tokyo'", "datestyle = 'SQL, DMY'", "extra_float_digits = -10"):
            on.exec_driver_sql(f"ALTER DATABASE {database} SET {setting}")
    made.dispose()
    sql = "SELECT id, registered::date::text AS name, email, registered AS registration_date FROM customer"
    mapping = mapping_folder.mapping(
        tmp_path / "mapping", {"mapping.yaml": "timezone: America/Bogota\n", "customers.sql": sql}
    )
    engine = engines.legacy(make_url(postgres_url), "America/Bogota")
    ((row,),) = Source(engine, mapping, Entity.CUSTOMERS).pages(Slice.everything(Entity.CUSTOMERS), Window())
    assert row.values[1] == "2026-01-04"
    engine.dispose()


def test_long_numbers_in_json_have_one_fate_on_every_database(postgres_url, sqlite_url, tmp_path):
    fates = []
    for url, kind in ((postgres_url, "jsonb"), (postgres_url, "text"), (sqlite_url, "text")):
        made = create_engine(url)
        with made.begin() as on:
            on.exec_driver_sql("DROP TABLE IF EXISTS customer")
            on.exec_driver_sql(
                f"CREATE TABLE customer (id INT, name TEXT, email TEXT, registered TIMESTAMP, more {kind})"
            )
            for number, value in enumerate(
                ("123456789012345678901", "0.1234567890123456789", "12345678901234567", "1.10")
            ):
                on.exec_driver_sql(
                    f"INSERT INTO customer VALUES ({number}, 'Ana', 'a{number}@example.com', '2026-01-05 03:00:00',"
                    f""" '{{"n": {value}}}')"""
                )
        made.dispose()
        sql = "SELECT id, name, email, registered AS registration_date, more AS metadata FROM customer"
        mapping_folder.write(tmp_path / kind, {"customers.sql": sql})
        folder = tmp_path / kind
        ledger = f"sqlite:///{tmp_path / f'{len(fates)}.sqlite'}"
        with journey(url, ledger, mapping=str(folder)) as trip:
            made_of = trip.migrate("first", entities=[Entity.CUSTOMERS])
            body = b"".join(body for _, body in trip.api.bodies)
        fates.append((left(made_of), b'"n":12345678901234567}' in body, b'"n":1.1}' in body))
    assert fates == [(Counter({("customers", "number_too_long"): 2}), True, True)] * 3


def test_a_first_run_that_finds_children_and_no_customers_is_red_before_anything_is_sent(postgres_url, tmp_path):
    from tests.databases import changing  # noqa: PLC0415

    ledger = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    patch = pytest.MonkeyPatch()
    with patch.context() as given, changing.site(postgres_url, ledger, tmp_path, given, keeps_time=False) as on:
        for name in "ABCDE":
            on.shop.add_person(name, points=5)
            on.shop.add_sale(f"S{name}", name)
            on.shop.add_booking(f"T{name}", name, points=5)
        url = make_url(postgres_url).set(username="reader")
        with on.shop.engine.begin() as admin:
            admin.exec_driver_sql(
                "DO $$ BEGIN CREATE ROLE reader LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
            )
            admin.exec_driver_sql("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
            admin.exec_driver_sql("ALTER TABLE person ENABLE ROW LEVEL SECURITY")
        extra = '{"conn_type": "generic", "extra": {"sqlalchemy_url": "%s"}}'
        os.environ["AIRFLOW_CONN_LEGACY_DB"] = extra % url.render_as_string(hide_password=False)
        with pytest.raises(Exception, match=r"customers\.sql finds no rows") as stopped:
            on.sync()
        assert "customers_missing" in str(stopped.value)
        assert on.everything_sent() == Counter()
        with on.shop.engine.begin() as admin:
            admin.exec_driver_sql("CREATE POLICY all_of_it ON person TO reader USING (true)")
        on.sync()
        assert sum(on.everything_sent().values()) == 15


@pytest.fixture
def standby():
    """URLs of a PostgreSQL and of a hot standby of it."""
    if not servers.PG_BASEBACKUP:
        absent = "no pg_basebackup on this machine: what a standby shows is not tested"
        pytest.fail(absent) if servers.REQUIRED else pytest.skip(absent)
    with servers.standby() as urls:
        yield urls


@pytest.mark.slow
def test_a_standby_that_ends_our_reading_for_its_recovery_costs_a_try_and_no_row(standby, tmp_path):
    primary, replica = standby
    shop, admin = (create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool) for url in (primary, replica))
    with admin.connect() as on:
        on.exec_driver_sql("ALTER SYSTEM SET max_standby_streaming_delay = 0")
        on.exec_driver_sql("SELECT pg_reload_conf()")
    with shop.connect() as on:
        on.exec_driver_sql("CREATE TABLE customer (id INT PRIMARY KEY, name TEXT, email TEXT, registered TIMESTAMP)")
        on.exec_driver_sql(
            "INSERT INTO customer SELECT n, repeat('Ana', 100), n || '@example.com', '2026-01-05'"
            " FROM generate_series(1, 12000) n"
        )
        _until_replayed(on)
        was_disturbed: list[int] = []

        def disturb(number: int) -> bool:
            """Clear away what rows were before, which our snapshot still shows."""
            if not was_disturbed:
                was_disturbed.append(number)
                on.exec_driver_sql("UPDATE customer SET name = name WHERE id > 11000")
                on.exec_driver_sql("VACUUM customer")
                _until_replayed(on)
            return False

        mapping_folder.write(tmp_path / "mapping", {})
        with journey(replica, f"sqlite:///{tmp_path / 'ledger'}", mapping=str(tmp_path / "mapping")) as trip:
            trip.api.dies_before = disturb
            with pytest.raises(TryAgainLater, match="gave up while it was read: SerializationFailure"):
                trip.migrate("first", entities=[Entity.CUSTOMERS])
            assert was_disturbed == [1]
            made = trip.migrate("first", entities=[Entity.CUSTOMERS])
            taken = Counter(key for line in trip.posts() for key, _ in line.accepted)
        assert made.adds_up
        assert left(made) == Counter()
        assert taken == Counter(str(number) for number in range(1, 12001))


@pytest.mark.slow
def test_the_clock_of_a_standby_is_that_of_its_data(standby):
    primary, replica = standby
    shop, source = create_engine(primary), create_engine(replica, isolation_level="AUTOCOMMIT")
    reads = Database(create_engine(replica))
    try:
        with shop.begin() as on:
            on.exec_driver_sql("CREATE TABLE sale (at TIMESTAMPTZ)")
        with source.connect() as on:
            _until(lambda: on.exec_driver_sql("SELECT to_regclass('sale')").scalar())
            on.exec_driver_sql("SELECT pg_wal_replay_pause()")
            _until(lambda: on.exec_driver_sql("SELECT pg_get_wal_replay_pause_state()").scalar() == "paused")
            with shop.begin() as writing:
                late = writing.exec_driver_sql("INSERT INTO sale VALUES (clock_timestamp()) RETURNING at").scalar()
            assert reads.now() < late  # so no window reaches a row that is not here yet
            on.exec_driver_sql("SELECT pg_wal_replay_resume()")
            _until(lambda: on.exec_driver_sql("SELECT count(*) FROM sale").scalar())
            assert reads.now() >= late
        assert Database(shop).now() >= late
    finally:
        reads._engine.dispose()
        source.dispose()
        shop.dispose()


def _until_replayed(primary: Any) -> None:
    """Wait until the standby shows all that was written on *primary*."""
    end = primary.exec_driver_sql("SELECT pg_current_wal_lsn()").scalar()
    asked = f"SELECT bool_and(replay_lsn >= '{end}') FROM pg_stat_replication"
    _until(lambda: primary.exec_driver_sql(asked).scalar())


def _until(is_so: Any) -> None:
    for _ in range(600):
        if is_so():
            return
        time.sleep(0.05)
    raise AssertionError("it did not come about")
