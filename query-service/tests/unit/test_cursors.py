"""Cursors give back their position to their own list only."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.problems import Problem
from query_service.cursors import read_cursor, write_cursor

bindings = st.text(st.characters(exclude_categories=("Cs",)))


@given(bindings, st.binary(min_size=1))
def test_a_cursor_gives_its_position_back(binding, position):
    cursor = write_cursor(binding, position)
    assert read_cursor(binding, cursor) == position
    assert cursor.isascii()
    assert not set(cursor) & set('"<>&%+/= ')


@given(bindings, bindings, st.binary(min_size=1))
def test_a_cursor_of_another_list_is_refused(binding, other, position):
    if binding != other:
        with pytest.raises(Problem):
            read_cursor(other, write_cursor(binding, position))


@given(st.text())
def test_any_other_text_is_refused(text):
    with pytest.raises(Problem) as refusal:
        read_cursor("list", text)
    assert refusal.value.members["errors"][0]["parameter"] == "cursor"
