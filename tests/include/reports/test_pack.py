"""
The audit pack: what it says is what the ledger says, nothing in it can be turned against its
reader, and it is whole or not there.
"""

from __future__ import annotations

import hashlib
import json
import stat
import tracemalloc
from decimal import Decimal

import pytest
from sqlalchemy import create_engine, insert, select, update

from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import now
from masivo_engine.ledger.runs import decisions
from masivo_engine.ledger.runs.runs import finish_run, keep_plan
from masivo_engine.ledger.runs.tallies import freeze
from masivo_engine.ledger.writing.slice_ledger import claim
from masivo_engine.model.batches import BatchState
from masivo_engine.model.rows import Entity, State
from masivo_engine.model.runs import DRY_RUN
from masivo_engine.reports.account import account
from masivo_engine.reports.pack.folder import name_of, written_whole
from masivo_engine.reports.pack.pack import write_pack, write_plan
from masivo_engine.reports.pack.tables import write_rows
from masivo_engine.samples.retailer import build
from tests.builders import REWARD, adopted, customer, end, quarantined, rejection, see, send
from tests.include.reports.pages_read import number, page, references, rows
from tests.include.reports.small_packs import HOSTILE, LIMITS, begin, is_verified, packed, plan_of, work_off
from tests.whole_migration import UNLIMITED, journey


def test_the_numbers_of_the_page_are_those_of_the_account_and_of_the_files(ledger, tmp_path):
    run = begin(ledger)
    work_off(ledger, run)
    folder = packed(ledger, tmp_path)
    seen, made = page(folder), account(ledger, "run", LIMITS)

    for one in made.entities:
        shown = seen.equations["records", one.entity.value]
        assert shown.pop("whole") == one.read == sum(shown.values())
        assert {state: n for state, n in shown.items() if n} == one.states
        assert seen.verdicts[one.entity.value] == "✓ adds up"
        for state, count in one.states.items():
            assert len(rows(folder, f"{one.entity}.{state}.csv")) == count
        if one.entity is not Entity.EVENTS:
            shown = seen.equations["points", "balances" if one.entity is Entity.CUSTOMERS else one.entity.value]
            assert shown.pop("whole") == sum(one.points.values()) == sum(shown.values())
            assert {state: n for state, n in shown.items() if n} == {s: n for s, n in one.points.items() if n}
    assert seen.troubles == {(t.state, t.entity.value, t.reason, t.column): t.rows for t in made.troubles}
    assert seen.text.index("In doubt: 1") < seen.text.index("Quarantined: 1") < seen.text.index("Held: 1")
    assert json.loads((folder / "account.json").read_text())["entities"]["customers"]["read"] == 5


def test_the_headline_says_the_outcome_and_the_points(ledger, tmp_path):
    work_off(ledger, begin(ledger))
    said = page(packed(ledger, tmp_path)).text
    assert "All 8 rows are accounted for: 4 delivered, 1 unchanged, 2 need a person and 1 waits." in said
    assert "Balances: 1,260 of 1,264.5 points are delivered; 4.5 did not go." in said


def test_points_are_shown_by_reward_and_those_of_rows_that_became_no_record_beside_them(ledger, tmp_path):
    work_off(ledger, begin(ledger))
    cells = page(packed(ledger, tmp_path)).cells["rewards"]
    assert {is_: number(text) for (reward, is_), text in cells.items() if reward == REWARD} == {
        "balances": 1261,
        "of these delivered": 1250,  # the second column of that name: transactions
        "transactions": 1250,
    }
    assert number(cells["", "balances"]) == Decimal("3.5")


def test_the_rows_tell_what_became_of_each_and_of_its_request(ledger, tmp_path):
    work_off(ledger, begin(ledger))
    folder = packed(ledger, tmp_path)

    (first, second) = rows(folder, "transactions.delivered.csv")
    assert (first["key"], first["customer"], first["points"], first["reward"]) == ("T1", "A", "1300", REWARD)
    assert (first["request_status"], second["points"]) == ("201", "-50")
    assert first["sent_at"].endswith("Z")
    assert first["sent_at"] <= first["settled_at"]
    (spoilt,) = rows(folder, "customers.quarantined.csv")
    assert (spoilt["reason"], spoilt["column"], spoilt["shape"], spoilt["points"]) == (
        "missing_value",
        "name",
        "nothing",
        "3.5",
    )
    assert [one["request_status"] for one in rows(folder, "batches.csv")] == ["201", "500", "201"]


def test_every_file_is_in_the_manifest_and_so_are_the_hashes_of_what_was_sent(ledger, tmp_path):
    run = begin(ledger)
    work_off(ledger, run)
    folder = packed(ledger, tmp_path)
    manifest = is_verified(folder)

    with ledger.reading() as connection:
        sent = connection.execute(select(schema.batch.c.body_hash).order_by(schema.batch.c.id)).scalars()
        bodies = [bytes(body).hex() for body in sent]
    assert [one["body_hash"] for one in rows(folder, "batches.csv")] == bodies
    expected = hashlib.sha256("".join(f"{body}\n" for body in bodies).encode()).hexdigest()
    assert manifest["batches"] == {"count": 3, "sha256_of_body_hashes": expected}
    assert (manifest["run"], manifest["account"], manifest["mapping_hash"]) == ("run", "account", "0123")


def test_a_file_that_was_changed_is_found_out(ledger, tmp_path):
    work_off(ledger, begin(ledger))
    folder = packed(ledger, tmp_path)
    with (folder / "customers.delivered.csv").open("a") as file:
        file.write("Z\n")
    with pytest.raises(AssertionError):
        is_verified(folder)


def test_who_ran_approved_and_released_what_is_told(ledger, tmp_path):
    run = begin(ledger)
    work_off(ledger, run)
    decisions.enter(ledger, run, "release", "bea", entity="events", about="reasons customer_held", records=1234)
    with ledger.engine.begin() as connection:
        connection.execute(update(schema.run).values(approved_by="carl", approved_at=now()))
    seen = page(packed(ledger, tmp_path))
    for words in ("by ana", "by carl", "bea", "events: reasons customer_held", "1,234", "0123", "fingerprint"):
        assert words in seen.text
    assert "oops" in seen.text  # what the API said


def test_hostile_text_is_shown_and_nothing_else(ledger, tmp_path):
    run = begin(ledger, HOSTILE[:200])
    mine = claim(ledger, run, Entity.CUSTOMERS, 1)
    send(mine, customer("A"), state=BatchState.IN_DOUBT, words=HOSTILE, reason="server_error")
    code, column, shape = "<b>code</b>", '"><script>1</script>', f"text {HOSTILE}"
    see(mine, quarantined(rejection(Entity.CUSTOMERS, HOSTILE, code, column, shape)))
    mine.finish(2)
    decisions.enter(ledger, run, HOSTILE[:20], HOSTILE, about=HOSTILE, entity="<i>")
    keep_plan(ledger, run, json.dumps(plan_of(HOSTILE)))
    finish_run(ledger, run, HOSTILE)
    folder = packed(ledger, tmp_path, HOSTILE[:200])

    for name in ("index.html", "plan.html"):
        seen = page(folder, name)
        assert not {"script", "img"} & {tag for tag, _ in seen.tags}
        assert [known for tag, known in seen.tags if tag == "i" and "dot" not in str(known.get("class"))] == []
        assert [key for _, attributes in seen.tags for key in attributes if key.startswith("on")] == []
        assert "{{ 7*7 }}" in seen.text
    assert folder.parent == tmp_path
    is_verified(folder)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1"])
def test_a_cell_that_a_spreadsheet_would_run_is_text(ledger, tmp_path, text):
    mine = claim(ledger, begin(ledger, "run", Entity.CUSTOMERS), Entity.CUSTOMERS, 1)
    see(mine, quarantined(rejection(Entity.CUSTOMERS, text, "contract", text, text, points=-7)))
    mine.finish(1)
    (cells,) = rows(packed(ledger, tmp_path), "customers.quarantined.csv")
    assert [cells[name] for name in ("key", "customer", "column", "shape")] == [f"'{text}"] * 4
    assert cells["points"] == "-7"


@pytest.mark.parametrize(
    ("read", "said"),
    [(3, "1 customers that were read are not in the ledger"), (1, "the ledger has 1 customers more than were read")],
)
def test_an_account_that_does_not_add_up_is_the_first_thing_that_is_said(ledger, tmp_path, read, said):
    mine = claim(ledger, begin(ledger, "run", Entity.CUSTOMERS), Entity.CUSTOMERS, 1)
    send(mine, customer("A"), customer("B"))
    mine.finish(read)
    finish_run(ledger, 1, "the account does not add up: customers")
    made = account(ledger, "run", LIMITS)
    with ledger.engine.begin() as connection:
        connection.execute(update(schema.run).values(outcome=made.verdict(0)))
    seen = page(packed(ledger, tmp_path))
    assert f"The account does not add up: {said}." in seen.text
    assert seen.verdicts["customers"] == f"✗ does not add up: {said}"
    assert ("div", {"class": "headline bad"}) in seen.tags


def test_a_run_that_is_under_way_is_no_alarm(ledger, tmp_path):
    mine = claim(ledger, begin(ledger, "run", Entity.CUSTOMERS), Entity.CUSTOMERS, 1)
    send(mine, customer("A"))
    assert "This run is not finished" in page(packed(ledger, tmp_path)).text


def test_a_run_with_nothing_to_send_says_so(ledger, tmp_path):
    run = begin(ledger, "run", Entity.CUSTOMERS)
    mine = claim(ledger, run, Entity.CUSTOMERS, 1)
    see(mine, *(adopted(customer(key)) for key in "AB"))
    mine.finish(2)
    finish_run(ledger, run, "adds up")
    seen = page(packed(ledger, tmp_path))
    assert "Nothing had to be sent: all 2 rows were delivered before, unchanged." in seen.text
    assert "no request was made" in seen.text
    assert ("div", {"class": "headline good"}) in seen.tags


def test_a_pack_is_its_owners_alone_and_replaces_the_one_before(ledger, tmp_path):
    run = begin(ledger)
    work_off(ledger, run)
    folder = packed(ledger, tmp_path / "packs")
    (folder / "stray").touch()
    with ledger.engine.begin() as connection:
        connection.execute(update(schema.record).where(schema.record.c.key == "D").values(state=State.HELD))
    assert packed(ledger, tmp_path / "packs") == folder

    assert [file.name for file in folder.parent.iterdir()] == ["run"]
    assert not (folder / "customers.quarantined.csv").exists()
    assert len(rows(folder, "customers.held.csv")) == 1
    is_verified(folder)
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
    assert {stat.S_IMODE(place.stat().st_mode) for place in (folder, folder.parent)} == {0o700}


def test_the_pack_of_an_earlier_run_has_what_it_delivered_and_what_it_was_last_to_see(ledger, tmp_path):
    first = begin(ledger, "first", Entity.CUSTOMERS)
    mine = claim(ledger, first, Entity.CUSTOMERS, 1)
    send(mine, customer("A", points=7), customer("B", points=5))
    see(mine, *(quarantined(rejection(Entity.CUSTOMERS, key, "missing_value")) for key in "CD"))
    mine.finish(4)
    freeze(ledger, first)
    mine = claim(ledger, begin(ledger, "second", Entity.CUSTOMERS), Entity.CUSTOMERS, 1)
    see(mine, end(customer("A", points=9, content="new"), State.HELD, "changed_after_delivery"))
    send(mine, customer("C", points=1))
    mine.finish(2)

    folder = packed(ledger, tmp_path, "first")
    assert {one["key"]: one["points"] for one in rows(folder, "customers.delivered.csv")} == {"A": "7", "B": "5"}
    assert [one["key"] for one in rows(folder, "customers.quarantined.csv")] == ["D"]
    assert page(folder).equations["records", "customers"]["quarantined"] == 2
    assert "a later run has seen some of these rows since, and they are in its pack" in page(folder).text
    folder = packed(ledger, tmp_path, "second")
    assert [one["key"] for one in rows(folder, "customers.held.csv")] == ["A"]
    assert "a later run has seen" not in page(folder).text


def test_rows_that_are_gone_are_told_apart_from_the_equation(ledger, tmp_path):
    run = begin(ledger)
    work_off(ledger, run)
    later = begin(ledger, "later", Entity.CUSTOMERS, Entity.TRANSACTIONS)
    for entity in (Entity.CUSTOMERS, Entity.TRANSACTIONS):
        claim(ledger, later, entity, 1).finish(0)
    finish_run(ledger, later, "adds up")
    with ledger.engine.begin() as connection:
        connection.execute(update(schema.record).where(schema.record.c.key.in_(["A", "T1"])).values(gone_run=later))
    seen = page(packed(ledger, tmp_path, "later"))
    assert "Masivo has these rows, and this run looked for them in the source and did not find them." in seen.text
    assert "1 customers, 1,250 points" in seen.text
    assert "1 transactions, 1,300 points" in seen.text
    assert "2 rows that Masivo has are gone from the legacy database." in seen.text


def test_a_pack_that_cannot_be_finished_is_not_seen_and_the_one_before_stays(tmp_path):
    for fails in (False, True):
        try:
            with written_whole(tmp_path, "run") as folder:
                folder.put("one", "new" if fails else "old")
                assert not fails
        except AssertionError:
            assert fails
    (tmp_path / ".run.0123abcd.part").mkdir()  # of a writer that was killed
    assert (tmp_path / "run" / "one").read_text() == "old"
    with written_whole(tmp_path, "run") as folder:
        folder.put("two", "")
    assert {file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*")} == {"run", "run/two"}


def test_the_name_of_a_run_becomes_the_name_of_a_folder_and_no_two_meet():
    assert name_of("manual") == "manual"
    names = ["a/b", "a:b", "../../etc", ".", "", "a" * 250, "a" * 249, "ñandú", "scheduled__2026-01-01T00:00:00+00:00"]
    made = [name_of(name) for name in names]
    assert len(set(made)) == len(names)
    for name in made:
        assert name.isascii()
        assert not set(name) & set('/\\:*?"<>| +')
        assert not name.startswith(".")
        assert len(name) < 140
    assert made[-1].startswith("scheduled__2026-01-01T00-00-00-00-00-")


def test_a_dry_run_has_a_plan_and_no_account(ledger, tmp_path):
    run = begin(ledger, "dry", kind=DRY_RUN)
    keep_plan(ledger, run, json.dumps(plan_of("customers")))
    for folder in (write_plan(ledger, "dry", tmp_path, LIMITS).parent, packed(ledger, tmp_path, "dry")):
        assert set(is_verified(folder)["files"]) == {"plan.html", "plan.json"}
        assert "href" not in (folder / "plan.html").read_text()


def test_a_plan_that_is_made_again_leaves_the_account_in_the_pack(ledger, tmp_path):
    run = begin(ledger)
    work_off(ledger, run)
    keep_plan(ledger, run, json.dumps(plan_of("customers")))
    packed(ledger, tmp_path)
    plan = write_plan(ledger, "run", tmp_path, LIMITS)
    assert plan.name == "plan.html"
    assert {"index.html", "plan.html"} <= set(is_verified(plan.parent)["files"])


@pytest.mark.slow
def test_memory_does_not_grow_with_the_ledger(ledger, tmp_path):
    run = begin(ledger, "run", Entity.TRANSACTIONS)

    def fill(first, most):
        lines = [
            {"entity": "transactions", "home": f"tC{n}", "place": f"tT{n}", "key": f"T{n}", "customer": f"C{n}"}
            | {"owner": f"tC{n}", "state": "delivered", "run": run, "since_run": run, "slice": 1, "fence": 1}
            | {"has_run": run, "points": 1, "worth": f'{{"{REWARD}": "1"}}', "shape": f"shape {n}"}
            for n in range(first, most)
        ]
        with ledger.engine.begin() as connection:
            connection.execute(insert(schema.record), lines)

    def peak(name):
        with written_whole(tmp_path, name) as folder:
            tracemalloc.start()
            counted = write_rows(ledger, run, folder)
            high = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        return counted, high

    fill(0, 5_000)
    peak("warm")
    few, low = peak("few")
    for first in range(5_000, 50_000, 5_000):
        fill(first, first + 5_000)
    many, high = peak("many")

    assert (few.rows, many.rows) == ({"transactions.delivered.csv": 5_000}, {"transactions.delivered.csv": 50_000})
    assert many.points[Entity.TRANSACTIONS, REWARD] == {"delivered": 50_000}
    assert high < low * 1.5 + 500_000
    assert high < 12_000_000


@pytest.fixture(scope="module")
def migrated(tmp_path_factory):
    """
    The pack of a migration of the sample with all its dirt, made as the tasks make it, and the
    account.
    """
    place = tmp_path_factory.mktemp("pack")
    urls = [f"sqlite:///{place / name}.sqlite" for name in ("legacy", "ledger")]
    engine = create_engine(urls[0])
    build.build(engine, customers=300)
    with engine.connect() as connection:
        people = connection.exec_driver_sql(
            "SELECT contact_value FROM member_contact WHERE kind = 'E' AND contact_value LIKE '%_@_%'"
        )
        addresses = {address.strip().casefold() for address in people.scalars()}
    engine.dispose()
    with journey(*urls, extra={**UNLIMITED, "records": 100}) as trip:
        ledger, limits = trip.place.ledger, trip.place.hook.limits
        run = trip.begin("nightly")
        told = trip.foretell(run)
        made = trip.migrate("nightly")
        finish_run(ledger, run.number, "adds up")
        yield write_pack(ledger, trip.account("nightly"), place / "packs", limits), made, told, addresses


def test_the_plans_page_says_what_the_plan_says(migrated):
    folder, _, told, _ = migrated
    seen = page(folder, "plan.html")
    for one in told.entities:
        shown = seen.equations["records", one.entity.value]
        assert shown.pop("whole") == one.rows
        assert {state: n for state, n in shown.items() if n} == {s: n for s, n in one.states.items() if n}
        assert number(seen.cells["requests"][one.entity.value, "requests"]) == one.requests
    for reward, amount in told.worth.balances.items():
        assert number(seen.cells["rewards"][reward, "balances"]) == amount
    assert json.loads((folder / "plan.json").read_text()) == json.loads(json.dumps(told.as_json()))


def test_a_whole_migration_is_told_in_full(migrated):
    folder, made, _, _ = migrated
    seen = page(folder)
    for one in made.entities:
        cells = seen.cells["requests"]
        assert number(cells[one.entity.value, "requests"]) == number(cells[one.entity.value, "planned"]) == one.requests
        assert sum(seen.equations["records", one.entity.value].values()) == 2 * one.read
    assert {reason for _, _, reason, _ in seen.troubles} == {trouble.reason for trouble in made.troubles}
    listed = {key for key, _ in seen.cells["files"]}
    assert listed == {file.name for file in folder.iterdir()} - {"index.html", "manifest.json", "SHA256SUMS"}
    is_verified(folder)


def test_a_pack_fetches_nothing_from_outside_and_holds_nobodys_address(migrated):
    folder, _, _, addresses = migrated
    for file in folder.iterdir():
        text = file.read_text("utf-8")
        assert "@" not in text or file.suffix == ".html"  # of style sheets: @media
        assert not [address for address in addresses if address in text.casefold()]
        if file.suffix == ".html":
            assert "http://" not in text
            assert "https://" not in text
            assert "<script" not in text
            assert references(text) <= {known.name for known in folder.iterdir()}
