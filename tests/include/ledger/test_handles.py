"""What a handle says of a text: whether it holds a key as a word of its own."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from masivo_engine.ledger.writing.handles import names


_TEXTS = st.text("aA1²_é- #\n", max_size=12)


@given(_TEXTS, _TEXTS)
def test_a_text_names_a_key_where_it_stands_between_other_than_letters_and_digits(text: str, key: str) -> None:
    is_word = re.search(rf"(?<!\w){re.escape(key)}(?!\w)", text) is not None
    assert names(text, key) is is_word


@given(_TEXTS, st.sampled_from(["", " ", "-", "#"]), st.sampled_from(["", " ", "-", "#"]))
def test_a_key_by_itself_is_named_and_as_part_of_a_word_is_not(key: str, before: str, after: str) -> None:
    assert names(f"{before}{key}{after}", key)
    assert not names("A-17b", "A-17")
