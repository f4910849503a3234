"""
Why a row did not simply go: every reason code, the state it leads to, and what to do.

A code is stable: it stands in the ledger, in the account, in logs and in replays.
"""

from __future__ import annotations

from dataclasses import dataclass

from masivo_engine.model.rows import State


@dataclass(frozen=True, slots=True)
class Reason:
    """
    One reason: its *code*, the *state* of the rows that have it, what it *means* and what to *do*.
    """

    code: str
    state: State
    means: str
    do: str


# What can be said of a delivered record: it may have been delivered twice, or no read-back can ever
# confirm it.
SENT_AGAIN = "sent_again"
NOT_SHOWN = "not_shown"

# Each run reads back what is in doubt. What it cannot prove, a person says.
_IS_READ_BACK = (
    "nothing yet: each run reads it back; if it stays, look in Masivo and say whether it arrived (masivo_replay,"
    " in_doubt)"
)

_QUARANTINED = (
    ("missing_key", "the row has no key", "give it one in the mapping's SQL, or filter it out there"),
    ("missing_value", "a required field is empty", "fill it in the legacy database or give it a rule in the mapping"),
    (
        "invalid_text",
        "text that is not valid UTF-8 or holds a NUL",
        "repair the text, or clean it in the mapping's SQL",
    ),
    (
        "invisible_sign",
        "a key holds a sign that nobody sees, so it is another key than it looks",
        "take the sign out in the mapping's SQL, of keys and of what refers to them",
    ),
    (
        "number_too_long",
        "JSON holds a number of more digits than can be sent exactly",
        "give it as text in the mapping's SQL",
    ),
    ("not_a_number", "a number field holds no finite number", "repair the value, or convert it in the mapping's SQL"),
    ("not_a_date", "a date that no calendar has, or out of range", "repair the date, or map it to NULL in SQL"),
    ("not_a_uuid", "a reward or tier id is no UUID", "map the legacy id to Masivo's in SQL"),
    ("not_a_boolean", "a yes/no field holds something else", "convert it in the mapping's SQL"),
    ("not_json", "JSON text that does not parse", "repair the text, or build it with the database's JSON functions"),
    ("unknown_code", "a code that the API's list does not have", "map the code in SQL; never to a guess"),
    ("wrong_type", "a value of a type that the field cannot take", "convert it in the mapping's SQL"),
    ("adjust_failed", "the mapping's adjust() raised the error that is named", "correct adjust(), or the row"),
    ("email_malformed", "an e-mail address that is none", "repair the address in the legacy database"),
    (
        "email_shared",
        "another customer has this e-mail address, and the API wants it unique",
        "merge or re-address one",
    ),
    (
        "duplicate_key",
        "several different rows have this key, or another row has this name for the API",
        "decide which is right, or give each a key of its own",
    ),
    (
        "email_swapped",
        "two customers exchanged their e-mail addresses, and the API wants each unique at any time",
        "let Masivo's support change one of them; the next run sends the other",
    ),
    ("duplicate_row", "an exact copy of a row that was taken", "remove the copy, or add DISTINCT to the mapping's SQL"),
    ("empty_list", "the API wants at least one element", "complete the list, or filter such rows out in SQL"),
    ("too_large", "the record alone is larger than a request may be", "shorten its free objects or lists"),
    ("unreadable_row", "the database driver refuses to hand the row out", "repair the column that is named"),
    (
        "points_do_not_sum",
        "the transactions do not add up to the balance",
        "correct one of them in the legacy database",
    ),
    ("negative_balance", "a balance below zero", "settle it in the legacy system first"),
    ("contract", "the API's contract does not allow the value", "see the column; correct the value or the mapping"),
    (
        "refused",
        "the API refused this record by itself",
        "see the API's words in the batch's receipt, and correct it; to try the same again, release it (masivo_replay)",
    ),
    (
        "refused_in_company",
        "the API refused a batch that holds this record, and has not judged it by itself",
        "nothing: the next run sends it apart from the others",
    ),
)
_HELD = (
    ("customer_missing", "its customer was never read", "nothing, if the customer comes; else correct the reference"),
    ("customer_quarantined", "its customer is quarantined", "repair the customer"),
    ("customer_held", "its customer is held", "see the customer"),
    ("customer_in_doubt", "its customer is in doubt", "nothing, if a run settles the customer; else see the customer"),
    (
        "sibling_not_sendable",
        "another transaction of the customer cannot go, or was not read with it, and they go together or not at all",
        "repair the one that cannot go; where the account names none, the next run takes them together",
    ),
    ("too_many_transactions", "the customer has more transactions than a request may carry", "fold the oldest in SQL"),
    (
        "transactions_already_migrated",
        "the API takes a customer's transactions once",
        "ask whether the account takes more: then `new_transactions: send`, or masivo_replay for these",
    ),
    (
        "changed_after_delivery",
        "the row changed after it was delivered, and a second delivery may count twice",
        "compare it with Masivo, then release it (masivo_replay; transactions never go twice) or change the policy",
    ),
    (
        "awaits_probe",
        "the row changed, and nobody knows yet what this account does with the points of a customer that is sent again",
        "nothing: one customer with points is sent again as a probe; or release it (masivo_replay)",
    ),
    (
        "resend_unsafe",
        "the row changed, and this account adds the points of a customer that is sent again, or refuses it",
        "change it in Masivo, then set `changed: ignore`; or release it (masivo_replay)",
    ),
    (
        "balance_waits",
        "the balance changed, and the transactions that explain it cannot go",
        "see the customer's transactions; both go with `new_transactions: send`, or released (masivo_replay)",
    ),
    (
        "earlier_in_doubt",
        "another transaction of the customer is in doubt, and they go together or not at all",
        "settle that first (masivo_replay, in_doubt, for this customer)",
    ),
    ("not_yet_sent", "it was read and is to be sent", "nothing: it is sent, by this run or the next one"),
    ("api_unavailable", "the API could not be reached or did not take requests", "nothing: the next try sends it"),
    ("run_stopped", "the run stopped before it was sent", "nothing: the next run sends it"),
    ("released", "it was in doubt, and a person stated that it did not arrive", "nothing: the next run sends it"),
)
_IN_DOUBT = (
    ("no_answer", "the request left and no answer came", _IS_READ_BACK),
    ("server_error", "the API answered with an error of its own, and may have taken it all the same", _IS_READ_BACK),
    (
        "refusal_unproven",
        "the API refused its batch, and nothing that was sent later shows yet whether it took a part of it",
        (
            "nothing, if more is sent: a later run reads it back; else say that it did not arrive (masivo_replay,"
            " in_doubt: send_again): transactions are read back first, and what was refused by itself is `refused` then"
        ),
    ),
    (
        "differs",
        "the API shows something else than what was sent",
        "compare it with Masivo, then say whether it arrived (masivo_replay, in_doubt)",
    ),
    (
        "stray",
        "an earlier request with other content was given up, and may have arrived since",
        "compare it with Masivo, then say whether it has what the row says (masivo_replay, in_doubt)",
    ),
    (
        "probe_unproven",
        "a changed customer that was sent again and accepted, and the API does not show the change",
        (
            "nothing yet: each run reads it back, and a customer who is sent later decides; else look in Masivo and say"
            " whether it arrived (masivo_replay, in_doubt)"
        ),
    ),
    ("task_died", "the task died while the request was out", _IS_READ_BACK),
)

_UNCHANGED = (
    ("adopted", "a person stated that the API has it", "nothing if it has; if not, release it (masivo_replay)"),
    ("change_ignored", "the row changed after it was delivered, and the mapping's policy ignores that", "nothing"),
)
_DELIVERED = (
    ("settled_by_person", "it was in doubt, and a person stated that it arrived", "nothing; see the release"),
    (
        SENT_AGAIN,
        (
            "sent before without a usable answer, given up, and sent again: the API may have it twice, or in an older"
            " form"
        ),
        "nothing; compare it with Masivo where a double would matter",
    ),
    (
        NOT_SHOWN,
        (
            "delivered, and it cannot be shown by the API, which knows transactions by year from 2020 on: no read-back"
            " can confirm it"
        ),
        "nothing; its points are part of the balance, which is read back",
    ),
)

REASONS: dict[str, Reason] = {
    reason.code: reason
    for reason in (
        *(Reason(code, State.QUARANTINED, means, do) for code, means, do in _QUARANTINED),
        *(Reason(code, State.HELD, means, do) for code, means, do in _HELD),
        *(Reason(code, State.IN_DOUBT, means, do) for code, means, do in _IN_DOUBT),
        *(Reason(code, State.UNCHANGED, means, do) for code, means, do in _UNCHANGED),
        *(Reason(code, State.DELIVERED, means, do) for code, means, do in _DELIVERED),
    )
}
