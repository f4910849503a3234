"""What the ledger calls a run: one name for one run, whatever DAGs there are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from masivo_engine.ledger.runs.names import SYNC, in_airflow, name_of


# As Airflow takes them.
DAG_IDS = st.from_regex(r"[A-Za-z0-9_.-]{1,40}", fullmatch=True)
RUN_IDS = st.from_regex(r"[A-Za-z0-9_.~:+-]{1,60}", fullmatch=True)


@given(DAG_IDS, RUN_IDS)
def test_a_name_leads_back_to_its_dag_and_run(dag_id, run_id):
    assert in_airflow(name_of(dag_id, run_id)) == (dag_id, run_id)


@given(st.lists(st.tuples(DAG_IDS, RUN_IDS), unique=True))
def test_no_two_runs_have_one_name(runs):
    assert len({name_of(*run) for run in runs}) == len(runs)


def test_a_run_of_the_sync_is_called_as_in_airflow():
    assert name_of(SYNC, "nightly") == "nightly"
    assert name_of("masivo_sweep", "nightly") == "masivo_sweep/nightly"
    # A run that was cleared after its end and ran anew.
    assert in_airflow("masivo_sweep/nightly (ended as run 3)") == ("masivo_sweep", "nightly (ended as run 3)")


def test_a_name_that_would_be_too_long_is_cut_and_is_still_nobody_elses():
    first, second = ("r" * 249 + end for end in "12")
    names = {name_of("masivo_sweep", first), name_of("masivo_sweep", second)}
    assert {len(name) for name in names} == {250}
    assert len(names) == 2
    assert name_of(SYNC, first) == first
