"""
The parameters: the form refuses what makes no sense by itself, and the rest is refused when it is
read.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from airflow.sdk.definitions.param import ParamsDict
from airflow.sdk.exceptions import ParamValidationError
from airflow.utils.types import DagRunType

from masivo.dags.replay_form import chosen_of, replay_form
from masivo.dags.sync_form import Parameters, bounds_of, form, is_by_person
from masivo.dags.verify_form import Verification, verify_form
from masivo_engine.model.errors import Misconfigured
from masivo_engine.model.rows import Entity
from masivo_engine.model.runs import Asked, RunKind


def filled(run_type="manual", *, own=None, **conf):
    """The form, or a DAG's *own*, as a run with *conf* has it."""
    own = own or form()
    params = ParamsDict(own)
    for name, value in conf.items():
        params[name] = value
    day = datetime(2026, 3, 1, tzinfo=UTC)
    dag_run = SimpleNamespace(
        run_type=run_type,
        data_interval_start=day,
        data_interval_end=day + timedelta(days=1),
        triggering_user_name="ana" if run_type == "manual" else None,
        conf=conf,
    )
    return {
        "params": params.validate(),
        "dag_run": dag_run,
        "dag": SimpleNamespace(dag_id="masivo_sync", params=own),
    }


def parameters(asked, *entities, **others):
    """What is read of a form of which only *others* were filled in."""
    given = {"dry_run": False, "tolerance": 0, "mapping_change": "ask", "overrides": (), "by": "ana"} | others
    return Parameters(asked, entities or tuple(Entity), **given)


def test_an_empty_form_means_a_scheduled_run_now():
    assert Parameters.of(filled()) == parameters(Asked(RunKind.INCREMENT))


def test_a_scheduled_run_ends_at_its_intervals_end_and_nobody_triggered_it():
    read = Parameters.of(filled("scheduled"))
    assert read == parameters(Asked(RunKind.INCREMENT, until=datetime(2026, 3, 2, tzinfo=UTC)), by="")


def test_a_backfill_is_exactly_its_interval():
    read = Parameters.of(filled("backfill"))
    assert read.asked == Asked(RunKind.BACKFILL, datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC))


def test_a_dag_of_one_purpose_says_so_itself():
    assert Parameters.of(filled(), RunKind.SWEEP).asked == Asked(RunKind.SWEEP)


def test_a_full_form_is_read():
    read = Parameters.of(
        filled(
            since="2026-01-01T00:00:00+02:00",
            until="2026-02-01T00:00:00Z",
            entities=["transactions", "customers"],
            customer_ids=[" 7", "8 "],
            dry_run=True,
            tolerance=5,
        )
    )
    ends = datetime(2025, 12, 31, 22, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
    asked = Asked(RunKind.CUSTOMERS, *ends, ("7", "8"))
    # Parents first, whatever the order that was typed.
    assert read == parameters(asked, Entity.CUSTOMERS, Entity.TRANSACTIONS, dry_run=True, tolerance=5)


@pytest.mark.parametrize(
    ("conf", "kind"),
    [
        ({"full": True}, RunKind.FULL),
        ({"customer_ids": None}, RunKind.INCREMENT),
        ({"since": None, "until": None}, RunKind.INCREMENT),
        ({"since": "2026-01-01T00:00:00Z"}, RunKind.WINDOW),
        ({"customer_ids": ["7"]}, RunKind.CUSTOMERS),
        ({"mapping_change": "adopt", "confirm": "adopt", "full": True}, RunKind.FULL),
    ],
)
def test_what_is_filled_in_says_what_kind_of_run_it_is(conf, kind):
    assert Parameters.of(filled(**conf)).asked.kind is kind


@pytest.mark.parametrize(
    "conf",
    [
        {"since": "yesterday"},
        {"until": 20260101},
        {"full": "maybe"},
        {"entities": []},
        {"entities": ["customer"]},
        {"entities": ["customers", "customers"]},
        {"customer_ids": "7"},
        {"customer_ids": [7]},
        {"dry_run": "no"},
        {"tolerance": -1},
        {"mapping_change": "yes"},
        {"override": ["everything"]},
        {"tolerance": "some"},
    ],
)
def test_the_form_refuses_what_makes_no_sense(conf):
    with pytest.raises(ParamValidationError):
        filled(**conf)


@pytest.mark.parametrize(
    ("conf", "sentence"),
    [
        ({"full": True, "customer_ids": ["7"]}, "full means everything"),
        ({"since": "2026-01-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, "must be before until"),
        ({"since": "2999-01-01T00:00:00Z"}, "in the future"),
        ({"run_type": "backfill", "full": True}, "a backfill works off its own intervals"),
        ({"mapping_change": "send_all", "customer_ids": ["7"]}, "is about all rows"),
        ({"mapping_change": "adopt"}, "type 'adopt' into confirm as well"),
        ({"mapping_change": "from_now_on", "confirm": "adopt"}, "type 'from_now_on' into confirm as well"),
        ({"dryrun": True}, r"masivo_sync has no parameter 'dryrun' \(did you mean dry_run\?\); nothing was done"),
        ({"dry-run": True}, r"did you mean dry_run\?"),
        ({"DRY_RUN": True}, r"did you mean dry_run\?"),
        ({"dryRun": True, "Full": 1}, r"'Full' \(did you mean full\?\), 'dryRun' \(did you mean dry_run\?\); "),
        ({"wholly_other": 1}, "no parameter 'wholly_other'; nothing was done. .* alone: since, until, full"),
    ],
)
def test_contradictions_are_refused_in_a_sentence(conf, sentence):
    with pytest.raises(Misconfigured, match=sentence):
        Parameters.of(filled(**conf))


def test_every_parameter_explains_itself():
    for param in form().values():
        assert param.schema["title"]
        assert param.description.endswith(".")


def test_of_a_name_that_is_none_and_of_values_nothing_is_said():
    with pytest.raises(Misconfigured) as refused:
        Parameters.of(filled(**{"ana@shop.invalid": "secret-1", "eyJhbGciOi" * 9: "secret-2", "dryrun": "secret-3"}))
    assert "did you mean dry_run?" in str(refused.value)
    for secret in ("secret", "shop.invalid", "eyJ"):
        assert secret not in str(refused.value)


def test_every_first_task_refuses_names_that_its_dag_does_not_have():
    for own, read in ((replay_form(), chosen_of), (verify_form(), Verification.of), (form(), bounds_of)):
        with pytest.raises(Misconfigured, match=r"'tolerence' \(did you mean tolerance\?\)"):
            read(filled(own=own, tolerence=3))


def test_what_airflow_is_set_to_leave_out_is_not_taken_for_asked():
    """Where core.dag_run_conf_overrides_params is off, a dry run that was asked for would send."""
    context = filled()
    context["dag_run"].conf = {"dry_run": True}
    with pytest.raises(Misconfigured, match=r"leaves out what this run was triggered with \(dry_run\)"):
        Parameters.of(context)


def test_a_plan_adopts_nothing_so_no_word_is_typed_for_it():
    assert Parameters.of(filled(mapping_change="adopt"), never_sends=True).dry_run
    assert Parameters.of(filled(mapping_change="adopt", dry_run=True)).mapping_change == "adopt"


@pytest.mark.parametrize(
    ("run_type", "expected"),
    [
        ("manual", True),
        ("backfill", True),
        ("scheduled", False),
        ("asset_triggered", False),
        ("operator_triggered", False),
        ("asset_materialization", False),
    ],
)
def test_who_starts_a_run_is_a_person_or_not(run_type, expected):
    for kind in (run_type, DagRunType(run_type)):
        assert is_by_person({"dag_run": SimpleNamespace(run_type=kind)}) is expected
