"""
Rules of the engine, each with what breaks it and the tests that must notice.

Most are broken in one expression: the function keeps its place, and its code is made anew from its
source, written plainly by `ast.unparse`, with one piece of it in the place of another. Who has
imported the function runs the broken code as well. A piece that is not there exactly once is an
error: then the function was rewritten, and the rule has to be broken anew.
"""

from __future__ import annotations
import __future__

import ast
import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import false

from masivo_engine.batching import tail
from masivo_engine.delivery import delivery, probe, sender
from masivo_engine.forecast import already_there, forecast
from masivo_engine.ledger import connection, counts, high_water, rows, schema
from masivo_engine.ledger.runs import asked, doubts, tallies
from masivo_engine.ledger.verification import pending
from masivo_engine.ledger.writing import leases, slice_ledger, takeover
from masivo_engine.model import places
from masivo_engine.planning import gone, guards
from masivo_engine.readback import doubt, evidence, purchase_counts, settler
from masivo_engine.triage import triage


TRIAGE = "tests/include/triage/test_triage.py"
LEDGER = "tests/include/ledger/test_slice_ledger.py"
DELIVERY = "tests/include/delivery/test_delivery.py"
SENDER = "tests/include/delivery/test_sender.py"
SETTLER = "tests/include/readback/test_settler.py"
INCREMENTS = "tests/scenarios/test_increments.py"
GUARDS = f"{INCREMENTS}::test_what_is_unusual_stops_a_run_before_anything_is_sent_until_a_person_types_its_name"
MOVED = "tests/scenarios/test_changed_while_in_doubt.py"
NAMED = "tests/scenarios/test_named_for_what_it_is.py"
API_HAS = "tests/scenarios/test_what_the_api_has.py"


@dataclass(frozen=True, slots=True)
class Rule:
    """
    What holds, *broken* by something, and the *tests* of which one must fail then: node ids.
    """

    holds: str
    broken: Callable[[], None]
    tests: tuple[str, ...]

    def __str__(self) -> str:
        return self.holds


def instead(function: Any, piece: str, other: str) -> Callable[[], None]:
    """Return what puts *other* in the place of *piece* in the code of *function*."""

    def breaks() -> None:
        whole = inspect.unwrap(getattr(function, "fget", None) or function)
        tree = ast.parse(textwrap.dedent(inspect.getsource(whole)))
        plain = ast.unparse(tree)
        if plain.count(piece) != 1:
            raise LookupError(f"{piece!r} is {plain.count(piece)} times in {whole.__qualname__}: {plain}")
        tree = ast.parse(plain.replace(piece, other))
        (made,) = tree.body
        assert isinstance(made, ast.FunctionDef)
        # The function keeps its own; only the code is exchanged.
        made.decorator_list, made.args.defaults = [], []
        made.args.kw_defaults = [None for _ in made.args.kwonlyargs]
        scope: dict[str, Any] = {}
        flags = __future__.annotations.compiler_flag
        exec(compile(tree, inspect.getfile(whole), "exec", flags=flags, dont_inherit=True), whole.__globals__, scope)
        whole.__code__ = scope[made.name].__code__

    return breaks


def both(*broken: Callable[[], None]) -> Callable[[], None]:
    """Return what does all that is *broken*: where a rule is kept in two places."""

    def breaks() -> None:
        for one in broken:
            one()

    return breaks


def replaced(owner: Any, name: str, other: Any) -> Callable[[], None]:
    """Return what puts *other* in the place of *name* of *owner*."""

    def breaks() -> None:
        getattr(owner, name)  # else nothing would be broken
        setattr(owner, name, other)

    return breaks


_Ledger, _Triage, _Settler, _Evidence, _Delivery = (
    slice_ledger.SliceLedger,
    triage.Triage,
    settler.Settler,
    evidence.Evidence,
    delivery.Delivery,
)

IDENTITY = (
    Rule(
        "a key is known with its type",
        instead(places.place_of, "_of_number(int(key))", "_of_text(str(key))"),
        ("tests/include/model/test_places.py::test_places_as_people_see_them",),
    ),
    Rule(
        "the customer under whom a row is filed never changes",
        instead(slice_ledger._rewriting, "'place': bindparam", "'home': bindparam('new_owner'), 'place': bindparam"),
        (f"{LEDGER}::test_a_row_keeps_its_home_when_it_moves_to_another_customer",),
    ),
    Rule(
        "a name for the API belongs to one place",
        instead(_Triage._faults, "self._same_names(placed, known, faults, named)", "{}"),
        (f"{TRIAGE}::test_of_two_places_of_one_name_the_first_has_it",),
    ),
    Rule(
        "a row whose key was retyped keeps what the API has",
        instead(_Triage._placed, "self._retyped(fresh, named)", "{}"),
        (f"{TRIAGE}::test_a_key_that_was_retyped_keeps_what_the_api_has",),
    ),
    Rule(
        "a row was retyped only if its old place is gone from the source",
        instead(_Triage._retyped, "self._source.rows_at(asked) if asked else {}", "{}"),
        (f"{TRIAGE}::test_of_two_places_of_one_name_the_first_has_it",),
    ),
    Rule(
        "two rows of a place are told apart by their content, not by their order",
        instead(_Triage._first_of, "(getattr(row, 'content_hash', None), row.owner) == as_it_was", "True"),
        (f"{TRIAGE}::test_rows_of_a_key_are_told_apart_by_their_content_in_whatever_order_they_come",),
    ),
    Rule(
        "a row that has another customer is no duplicate, if the source has one row of its key",
        instead(_Triage._count, "self._source.rows_at(asked)", "dict.fromkeys(asked, 2)"),
        (f"{TRIAGE}::test_a_row_that_moved_is_a_changed_one_and_a_second_row_of_its_key_a_duplicate",),
    ),
    Rule(
        "a row that has another customer is asked for in the source, which may have two of its key",
        instead(_Triage._count, "self._source.rows_at(asked)", "{}"),
        (f"{TRIAGE}::test_a_row_that_moved_is_a_changed_one_and_a_second_row_of_its_key_a_duplicate",),
    ),
    Rule(
        "a place counts once in a run, whichever slices meet it",
        instead(_Triage._is_anothers, "known.run == self._run and known.slice != self._number", "False"),
        (f"{TRIAGE}::test_a_row_that_another_slice_has_seen_counts_once",),
    ),
)

OUT_AND_HAS = (
    Rule(
        "what is out is not overwritten",
        instead(_Ledger.pack, "_RECORD.c.out_batch.is_(None), ", ""),
        (
            f"{LEDGER}::test_a_batch_is_packed_whole_or_not_at_all",
            f"{SENDER}::test_what_is_out_already_is_not_packed_again",
        ),
    ),
    Rule(
        "a batch is packed only of rows that are as this try has seen them",
        instead(_Ledger.pack, "_RECORD.c.slice == self.lease.slice, _RECORD.c.fence == self.lease.fence, ", ""),
        (f"{LEDGER}::test_nothing_is_packed_that_another_slice_of_the_run_has_seen_since",),
    ),
    Rule(
        "a batch is packed whole or not at all",
        instead(_Ledger.pack, "!= len(places)", "== -1"),
        (f"{LEDGER}::test_a_batch_is_packed_whole_or_not_at_all",),
    ),
    Rule(
        "packing looks once more whether transactions of the customer went meanwhile",
        instead(_Ledger._refuse_taken, "for condition in theirs", "for condition in ()"),
        (f"{LEDGER}::test_a_customers_transactions_that_went_from_another_slice_keep_these_back",),
    ),
    Rule(
        "packing looks once more whose an address is",
        instead(_Ledger._refuse_taken, "has_email(sorted(wanted), dialect)", "()"),
        (f"{LEDGER}::test_an_address_that_went_from_another_slice_keeps_this_one_back",),
    ),
    Rule(
        "what is out is in doubt before anything else is asked",
        instead(triage.verdict_on, "known.is_out and (not decided.run.adopts)", "False"),
        (f"{TRIAGE}::test_what_is_out_is_in_doubt_whatever_else_there_is",),
    ),
    Rule(
        "what was given up stays a stray",
        instead(_Ledger.absent, "GIVEN_UP", "schema.NOTHING_OUT"),
        (f"{LEDGER}::test_what_was_never_answered_and_is_given_up_stays_a_stray",),
    ),
    Rule(
        "what a person gives up stays a stray",
        replaced(doubts, "GIVEN_UP", schema.NOTHING_OUT),
        (f"{LEDGER}::test_strays_of_two_contents_are_cleared_by_neither",),
    ),
    Rule(
        "no receipt clears a stray",
        instead(_Ledger.enter_receipt, "_SENT_AGAIN, NOT_YET_SENT)", "_SENT_AGAIN, NOT_YET_SENT, SHOWN)"),
        (
            f"{LEDGER}::test_what_is_delivered_beside_a_stray_was_sent_again",
            f"{LEDGER}::test_only_a_read_back_of_the_same_content_shows_that_a_stray_is_there",
        ),
    ),
    Rule(
        "a read-back of another content clears no stray",
        replaced(slice_ledger, "SHOWN", {"strays": 0, "stray_hash": None}),
        (f"{LEDGER}::test_a_read_back_of_another_content_clears_no_stray",),
    ),
    Rule(
        "a row with another stray is not unchanged",
        instead(triage.verdict_on, "known.strays and known.stray_hash != row.content_hash", "False"),
        (f"{TRIAGE}::test_a_stray_of_the_same_content_changes_nothing_and_another_one_may_have_replaced_it",),
    ),
    Rule(
        "a receipt is of its own batch",
        instead(
            _Ledger.enter_receipt,
            "statement.where(_RECORD.c.out_batch == batch_id)",
            "statement.where(_RECORD.c.out_batch.is_not(None))",
        ),
        (f"{LEDGER}::test_a_receipt_is_of_its_own_batch_and_entity",),
    ),
    Rule(
        "that something has arrived is said of the batch that was asked about",
        instead(_Ledger.arrived, "_RECORD.c.out_batch == batch_id", "_RECORD.c.out_batch.is_not(None)"),
        (f"{LEDGER}::test_what_is_settled_of_a_batch_leaves_everything_else_alone",),
    ),
    Rule(
        "that something has not arrived is said of the batch that was asked about",
        instead(_Ledger.absent, "_RECORD.c.out_batch == batch_id", "_RECORD.c.out_batch.is_not(None)"),
        (f"{LEDGER}::test_what_is_settled_of_a_batch_leaves_everything_else_alone",),
    ),
    Rule(
        "what is confirmed is what was asked about, and not what was sent since",
        instead(pending._mark, "sent.get(row.place) == (row.has_batch, row.has_hash)", "True"),
        ("tests/include/ledger/test_pending.py::test_only_what_was_not_sent_again_meanwhile_becomes_confirmed",),
    ),
    Rule(
        "the run that delivered something is kept",
        instead(doubts.arriving, "'has_run': run, ", ""),
        (f"{LEDGER}::test_what_was_delivered_is_what_the_api_has",),
    ),
    Rule(
        "a confirmation is of the content that was read back",
        instead(doubts.arriving, "'confirmed_at': None, ", ""),
        ("tests/include/ledger/test_pending.py::test_a_confirmation_is_of_the_content_that_was_read_back",),
    ),
    Rule(
        "what arrived late is judged by what the row says now",
        instead(doubts.arriving, "(_RECORD.c.hash == _RECORD.c.out_hash) & ", ""),
        (f"{LEDGER}::test_a_row_that_changed_while_it_was_out_is_held_after_it_arrived",),
    ),
    Rule(
        "what the API refused by itself is not sent again as it is",
        instead(triage.verdict_on, "known.judged == row.content_hash", "False"),
        (f"{TRIAGE}::test_what_the_api_refused_by_itself_is_not_sent_again_until_it_changes_or_is_released",),
    ),
    Rule(
        "a set that the API refused is not sent again as it is",
        instead(_Triage._on_set, "one.judged == judged", "False"),
        (f"{TRIAGE}::test_a_set_that_the_api_refused_goes_again_only_with_other_members",),
    ),
    Rule(
        "a row that changes leaves what it was in its history",
        instead(_Ledger._rewrite, "self._is_news(one, row)", "False"),
        (f"{LEDGER}::test_a_row_that_changed_leaves_what_it_was_in_its_history",),
    ),
)

ACCOUNT = (
    Rule(
        "an account that is written down stays as it is",
        instead(tallies.count, "_written if frozen_at else _live", "_live"),
        (f"{LEDGER}::test_an_account_that_is_written_down_does_not_change_any_more",),
    ),
    Rule(
        "a row that another run sees stays in the account of a run under way",
        instead(_Ledger.see, "self._leave_to_their_runs(connection, old)", "None"),
        (f"{LEDGER}::test_a_row_that_another_run_sees_stays_in_the_account_of_a_run_under_way",),
    ),
    Rule(
        "a run that was overtaken does not go on",
        instead(tallies.reopen, "is_overtaken or", "False and"),
        (f"{LEDGER}::test_a_run_that_was_overtaken_cannot_go_on",),
    ),
    Rule(
        "runs take turns at an entity",
        instead(leases.is_my_turn, "not connection.execute(select(others | sooner)).scalar()", "True"),
        (f"{LEDGER}::test_a_run_waits_for_one_that_lives",),
    ),
    Rule(
        "what a dead run left is settled before anybody looks for what is open",
        instead(takeover.settle_dead, "_fence(", "(lambda *_: None)("),
        (f"{LEDGER}::test_what_a_dead_run_left_is_settled_before_anybody_looks_for_what_is_open",),
    ),
    Rule(
        "what is open is read again by each increment",
        replaced(asked, "_is_waiting", lambda: (false(),)),
        (f"{INCREMENTS}::test_a_balance_that_was_corrected_frees_the_transactions_that_did_not_add_up_to_it",),
    ),
    Rule(
        "what is quarantined is read again as well",
        instead(asked._is_waiting, "schema.is_waiting(*OPEN)", "schema.is_waiting(*OPEN[1:])"),
        (f"{INCREMENTS}::test_a_balance_that_was_corrected_frees_the_transactions_that_did_not_add_up_to_it",),
    ),
    Rule(
        "rows that the source has no more are a line of the account",
        instead(gone.find_gone, "sorted(set(some) - source.there(some))", "[]"),
        (f"{NAMED}::test_a_customer_who_was_merged_into_another_is_gone_and_takes_nothing_with_it",),
    ),
    Rule(
        "a row is gone only if it is not found when it is asked for once more",
        instead(gone.find_gone, "- source.there(some)", "- set()"),
        (f"{NAMED}::test_a_row_that_came_back_behind_the_reading_is_not_gone",),
    ),
    Rule(
        "a row that is gone and is met again is there",
        instead(_Ledger._seen, "'gone_run': None", "'shape': _RECORD.c.shape"),
        (f"{LEDGER}::test_a_row_that_is_gone_and_is_met_again_is_there",),
    ),
    Rule(
        "what is out of a row that is gone is settled by its handle",
        instead(doubts.doubts_unread, "list(connection.execute(waits.where(*mine)).scalars())", "[]"),
        (f"{NAMED}::test_what_is_in_doubt_of_a_row_that_is_gone_is_settled_all_the_same",),
    ),
)

SETS = (
    Rule(
        "a customer's transactions are judged with those that are gone, or have moved",
        instead(rows.Rows.of_customers, "{row.customer, row.has_customer, row.out_customer}", "{row.customer}"),
        (f"{TRIAGE}::test_a_customers_transactions_go_once_even_if_the_first_ones_are_gone_or_another_customers",),
    ),
    Rule(
        "an account takes a customer's transactions once",
        instead(_Triage._on_set, "there and (not self.decided.takes_more)", "False"),
        (f"{INCREMENTS}::test_new_transactions_are_held_until_the_operator_states_that_the_account_takes_them",),
    ),
    Rule(
        "nothing of a set goes while something of it is in doubt",
        instead(_Triage._on_set, "any((one.is_out and one.out_customer == customer for one in earlier))", "False"),
        (
            f"{TRIAGE}::test_a_customers_transactions_go_once_even_if_the_first_ones_are_gone_or_another_customers",
            f"{MOVED}::test_a_row_whose_sibling_has_another_customer_now_waits_for_its_own_to_be_read",
        ),
    ),
    Rule(
        "a balance that changed goes only with the transactions that explain it",
        instead(_Triage.judge, "self._with_balance(placed, made.known, verdicts)", "None"),
        (f"{TRIAGE}::test_a_balance_that_changed_waits_for_the_transactions_that_explain_it",),
    ),
    Rule(
        "points are compared reward by reward",
        instead(triage._on_points, "sorted({*sums, *parent.balance})", "sorted({*sums, *parent.balance})[:1]"),
        (f"{TRIAGE}::test_a_set_of_two_rewards_is_the_balance_of_each",),
    ),
    Rule(
        "a child waits for its customer",
        instead(triage.verdict_on, "parent is not None and (not parent.has_arrived)", "False"),
        (f"{TRIAGE}::test_a_child_goes_only_after_its_customer",),
    ),
    Rule(
        "a row that is refused owns no address",
        replaced(triage, "_is_sendable", lambda _: True),
        (f"{TRIAGE}::test_whoever_cannot_go_or_is_gone_or_has_another_one_owns_no_address",),
    ),
    Rule(
        "a row that is gone owns no address",
        instead(_Triage._one_address_each, "(not one.is_gone) and ", ""),
        (f"{TRIAGE}::test_whoever_cannot_go_or_is_gone_or_has_another_one_owns_no_address",),
    ),
    Rule(
        "an address is whose it is at the API, whatever the rows say",
        instead(_Triage._one_address_each, "[*has, *out]", "[]"),
        (f"{TRIAGE}::test_an_address_that_is_at_the_api_or_may_be_is_taken_whatever_its_row_says_today",),
    ),
    Rule(
        "from now on adopts what the mapping changed, and not what the shop did",
        instead(triage._on_changed, "row.changed == known.changed and ", ""),
        (f"{TRIAGE}::test_from_now_on_adopts_only_what_another_mapping_made_and_not_what_changed",),
    ),
    Rule(
        "what changed is not sent again where the mapping holds it",
        instead(triage._on_changed, "decided.changed == 'hold'", "False"),
        (f"{TRIAGE}::test_what_changed_is_treated_as_the_policy_says",),
    ),
)

EVIDENCE = (
    Rule(
        "a control was asked for in the same form of address",
        instead(_Evidence.controls, "is_encoded(one.customer) == form", "True"),
        (f"{SETTLER}::test_absence_is_shown_by_somebody_whose_id_is_written_alike_in_an_address",),
    ),
    Rule(
        "the queue has its time before anything is called absent",
        instead(_Settler._wait_s, "max(0.0, self._patience.settle_after_s - self._age_s(youngest))", "0.0"),
        (f"{SETTLER}::test_what_comes_within_its_time_is_not_called_absent",),
    ),
    Rule(
        "nothing is called absent before the last read",
        instead(_Settler._read, "self._later(doubts) if is_last else ({}, set[bool]())", "self._later(doubts)"),
        (f"{SETTLER}::test_what_comes_within_its_time_is_not_called_absent",),
    ),
    Rule(
        "who was there before does not show that the queue has passed",
        both(
            instead(counts.delivered_after, "_RECORD.c.strays == 0, had.is_(None)", "_RECORD.c.strays == 0"),
            instead(_Evidence._has_come, "one.history is not None", "False"),
        ),
        (f"{SETTLER}::test_a_change_that_the_api_does_not_show_shows_nobody_that_the_queue_has_passed",),
    ),
    Rule(
        "a customer is there who is as it was sent, not who has the id",
        instead(_Evidence._customer, "self.is_shown(reading, doubt.key, doubt.sent)", "True"),
        (f"{SETTLER}::test_a_customer_that_is_neither_as_it_was_sent_nor_as_it_was_before_differs",),
    ),
    Rule(
        "a transaction is there that has the points that were sent",
        instead(_Evidence._transaction, "dict(doubt.sent.worth) in found", "True"),
        (f"{SETTLER}::test_a_transaction_with_other_points_than_were_sent_differs",),
    ),
    Rule(
        "what is there and differs is not absent",
        instead(_Evidence._customer, "return Finding.DIFFERS", "return Finding.ABSENT"),
        (f"{SETTLER}::test_a_customer_that_is_neither_as_it_was_sent_nor_as_it_was_before_differs",),
    ),
    Rule(
        "transactions that cannot be told apart prove nothing",
        instead(_Evidence._transaction, "not handle.get('t')", "False"),
        (f"{SETTLER}::test_transactions_that_cannot_be_told_apart_prove_nothing",),
    ),
    Rule(
        "what the API does not show of early years is not absent",
        instead(_Evidence._transaction, "handle.get('y', '') > f'{FIRST_YEAR_SHOWN}-01-01'", "True"),
        (f"{SETTLER}::test_transactions_before_2020_cannot_be_read_and_stay_in_doubt",),
    ),
    Rule(
        "a number of purchases that fits proves nothing",
        instead(purchase_counts.Purchases._agreed, "{0} if may_be_migrated else set()", "set()"),
        (f"{SETTLER}::test_metrics_that_equal_the_events_prove_nothing",),
    ),
    Rule(
        "what was sent is looked for at the customer for whom it was sent",
        instead(doubt._doubt, "row.out_customer or ''", "row.customer"),
        (f"{MOVED}::test_a_row_that_has_another_customer_now_is_looked_for_at_the_one_it_was_sent_for",),
    ),
    Rule(
        "what was sent is looked for as it was sent",
        instead(
            doubt._doubt,
            "as_worth(row.out_worth), row.out_email, as_handle(row.out_handle)",
            "as_worth(row.worth), row.email, as_handle(row.handle)",
        ),
        (
            f"{MOVED}::test_a_transaction_whose_date_was_corrected_is_looked_for_in_every_year",
            f"{MOVED}::test_what_is_left_of_a_set_that_did_not_arrive_is_judged_anew",
        ),
    ),
    Rule(
        "what was out before is not convicted when it is refused",
        instead(_Delivery._refused, " and batch.records[0].place not in self.strays", ""),
        (f"{DELIVERY}::test_what_may_still_arrive_is_not_convicted_because_it_is_refused_alone",),
    ),
    Rule(
        "nor when it is refused after a read-back",
        instead(_Delivery._refused_alone, "self.strays.isdisjoint(places)", "True"),
        (f"{DELIVERY}::test_what_may_still_arrive_is_not_convicted_because_it_is_refused_alone",),
    ),
    Rule(
        "a refused batch of customers is read back unless the account replaces them",
        instead(_Delivery._find, "self._replaces and ", ""),
        (f"{DELIVERY}::test_nothing_of_a_refused_batch_is_sent_again_while_the_queue_stands_still",),
    ),
    Rule(
        "that an account replaces customers says nothing of what was never answered",
        instead(_Delivery._find, "self._replaces and doubt.is_refused", "self._replaces"),
        (f"{DELIVERY}::test_that_an_account_replaces_customers_says_nothing_of_what_was_never_answered",),
    ),
    Rule(
        "points of which nothing is proved are not sent again, whatever the mapping says",
        instead(_Delivery.__init__, "gives_up and self._entity is not Entity.TRANSACTIONS", "gives_up"),
        ("tests/scenarios/test_unproven.py::test_not_even_if_somebody_told_the_delivery_to",),
    ),
    Rule(
        "what is left of a set that was taken in part is not sent",
        instead(_Delivery._whole, "self._entity is not Entity.TRANSACTIONS or not others", "True"),
        ("tests/scenarios/test_evidence.py::test_of_a_set_that_was_taken_in_part_nothing_goes_again",),
    ),
    Rule(
        "one clean record of each entity goes last, by itself",
        instead(tail.Tail.keep_back, "not self._is_needed", "True"),
        (f"{NAMED}::test_a_lost_last_batch_is_proved_by_the_tail_behind_it",),
    ),
)

MEMORY = (
    Rule(
        "the high-water mark is raised before a request",
        instead(sender.Sending._post, "self._raise_high_water(batch_id)", "None"),
        (f"{SENDER}::test_the_high_water_mark_is_raised_after_the_last_write_before_a_request",),
    ),
    Rule(
        "it is raised after being sent is committed",
        instead(
            sender.Sending._post,
            "self._writer.mark_sending(batch_id)",
            "(self._raise_high_water(batch_id), self._writer.mark_sending(batch_id))",
        ),
        (f"{SENDER}::test_the_high_water_mark_is_raised_after_the_last_write_before_a_request",),
    ),
    Rule(
        "a ledger that is behind its mark sends nothing",
        instead(connection.Ledger._refuse_behind, "mark.is_behind(marked)", "False"),
        ("tests/scenarios/test_older_copy.py::test_a_task_that_is_cleared_on_it_refuses_as_its_plan_does",),
    ),
    Rule(
        "a copy that has every batch is behind by its requests",
        instead(high_water.Mark.is_behind, " or self.requests < other.requests", ""),
        ("tests/scenarios/test_older_copy.py::test_a_copy_that_lacks_no_run_and_no_batch_but_a_request_is_refused",),
    ),
    Rule(
        "changed customers with points wait for a probe",
        instead(triage._on_changed, "not decided.resends", "False"),
        (f"{TRIAGE}::test_a_changed_customer_with_points_goes_only_to_an_account_that_replaces",),
    ),
    Rule(
        "a probe says what the wallet shows",
        instead(probe.Probe._shown, "there == added", "False"),
        (f"{NAMED}::test_the_first_changed_customer_is_a_probe_and_the_others_follow_what_it_shows",),
    ),
    Rule(
        "a balance that is as it was before proves nothing of a probe",
        instead(probe.Probe._shown, "there == wanted and has_come", "there == wanted"),
        (f"{NAMED}::test_a_probe_that_the_queue_has_lost_teaches_nothing",),
    ),
    Rule(
        "a probe that is refused is no customer that is replaced",
        instead(probe.Probe._refused, "'refuse' if refused_again(self._ledger) > 1 else ''", "'replace'"),
        (f"{NAMED}::test_the_first_changed_customer_is_a_probe_and_the_others_follow_what_it_shows",),
    ),
    Rule(
        "a probe has points",
        instead(probe.Probe.take, "record.points > 0", "True"),
        (f"{NAMED}::test_a_probe_that_the_queue_has_lost_teaches_nothing",),
    ),
    Rule(
        "what a probe has learned is kept",
        instead(connection.Ledger.learn_resends, "connection.execute(", "str("),
        (f"{NAMED}::test_the_first_changed_customer_is_a_probe_and_the_others_follow_what_it_shows",),
    ),
)


def _guard(name: str) -> tuple[str, ...]:
    return (f"{GUARDS}[{name}]",)


EFFECTS = (
    Rule(
        "guard: no rows at all",
        instead(guards._no_rows, "(last.count or last.newest is not None) and legacy.is_empty()", "False"),
        _guard("no_rows"),
    ),
    Rule(
        "guard: the newest change moved and the window has no rows",
        instead(guards._no_rows, "seen.newest > last.newest", "False"),
        (f"{INCREMENTS}::test_news_in_times_before_the_window_stop_a_run",),
    ),
    Rule(
        "guard: runs that found many rows are followed by one that finds none",
        instead(guards._no_rows, "len(history) == _RUNS and ", "False and "),
        (f"{INCREMENTS}::test_no_news_after_runs_with_much_of_it_stop_a_run",),
    ),
    Rule(
        "guard: an older copy of the source",
        instead(guards.alarms, "not gone and (not", "False and (not"),
        _guard("older_source"),
    ),
    Rule(
        "guard: changes in the future",
        instead(guards.alarms, "later > released_count(", "later > 1000000 + released_count("),
        _guard("future_changes"),
    ),
    Rule(
        "guard: rows read differently",
        instead(guards.after_forecast, "remade > bound", "False"),
        _guard("rows_differ"),
    ),
    Rule(
        "guard: more than a share of the rows, not only all of them, also where no file changed",
        instead(guards.after_forecast, "max(_FEW, int(_SHARE * arrived))", "10 ** 9"),
        (f"{INCREMENTS}::test_rows_that_read_otherwise_although_nothing_says_why_stop_a_run",),
    ),
    Rule(
        "guard: keys are made otherwise",
        instead(guards.after_forecast, "min(gone, new) > bound", "False"),
        (f"{API_HAS}::test_a_mapping_that_makes_other_keys_of_delivered_rows_is_asked_about",),
    ),
    Rule(
        "guard: rows are gone",
        instead(
            guards.after_forecast,
            "gone > max(_FEW, int(_SHARE * (arrived + gone)), released_count(ledger, Guard.ROWS_GONE, entity))",
            "False",
        ),
        (f"{INCREMENTS}::test_rows_that_are_gone_stop_a_sweep",),
    ),
    Rule(
        "guard: columns changed",
        instead(guards.alarms, "history and (not has_other_files) and", "False and"),
        (f"{INCREMENTS}::test_a_column_that_is_there_no_more_stops_a_run",),
    ),
    Rule(
        "guard: a first load that nobody started",
        instead(guards.refuse_first_load, "not is_begun(ledger, mapping, entity)", "False"),
        ("tests/plugins/masivo/operators/test_operators.py::test_a_run_that_nobody_started_sends_no_first_load",),
    ),
    Rule(
        "guard: an account that has the customers already",
        instead(already_there.already_there, "there > released_count(", "there > 1000000 + released_count("),
        (
            "tests/scenarios/test_already_there.py::test_an_empty_ledger_does_not_send_a_second_time_what_another_one_has_sent",
        ),
    ),
    Rule(
        "a row that changed by itself is not one that reads differently",
        instead(forecast._is_remade, " and (one.row.changed == row.changed)", ""),
        (f"{INCREMENTS}::test_rows_that_changed_by_themselves_stop_no_run_however_many",),
    ),
)


class Broken:
    """Breaks the rule of that *number*: what breaks it cannot be pickled."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __call__(self) -> None:
        RULES[self.number].broken()


RULES = (*IDENTITY, *OUT_AND_HAS, *ACCOUNT, *SETS, *EVIDENCE, *MEMORY, *EFFECTS)
