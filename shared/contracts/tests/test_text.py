"""Folding and words: one rule for the writer and the reader of indexes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.text import fold, words


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Côte de Blaye", "cote de blaye"),
        ("ＳＯＮＹ", "sony"),
        ("Straße", "strasse"),
        ("İstanbul", "istanbul"),
        ("①½", "11⁄2"),
        ("Ångström", "angstrom"),
        ("한글", "한글"),
    ],
)
def test_case_and_accents_and_forms_do_not_matter(text: str, folded: str) -> None:
    assert fold(text) == fold(folded)


@given(st.text())
def test_folding_twice_is_folding_once(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(st.text(), st.text())
def test_two_texts_apart_are_found_by_the_words_of_each(one: str, other: str) -> None:
    assert words(f"{one} {other}") == list(dict.fromkeys([*words(one), *words(other)]))


@given(st.text(st.characters(max_codepoint=0x7F)))
def test_ascii_takes_a_short_cut_to_the_same_words(text: str) -> None:
    assert words(text) == [word for word in words(f"{text} é") if word != "e" or "e" in words(text)]


def test_words_are_runs_of_letters_and_digits_each_once() -> None:
    assert words("WH-1000XM4 sony_wh 1000xm4, «Été»") == ["wh", "1000xm4", "sony", "ete"]
    assert words("--- !") == []
