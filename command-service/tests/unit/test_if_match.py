"""If-Match: which versions a client accepts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.problems import BAD_REQUEST, Problem
from command_service.calls import parse_if_match
from command_service.envelope import ExpectedVersion


@pytest.mark.parametrize(
    ("header", "versions"),
    [
        ('"3"', {3}),
        ('"0"', {0}),
        ('"3-0123456789abcdef"', {3}),
        ('"3" , "5-0123456789abcdef",\t"7"', {3, 5, 7}),
        ('W/"3"', set()),
        ('W/"3", "4"', {4}),
        ('"x"', set()),
        ('""', set()),
        ('"03"', set()),
        ('"3-xyz"', set()),
        ('"3-0123456789ABCDEF"', set()),
        ('"-3"', set()),
        ('"3.0"', set()),
        ('"99999999999999999999"', set()),
        ('"a,b", "5"', {5}),
        ('"*"', set()),
        ('"é"', set()),
    ],
)
def test_strong_tags_name_versions_and_others_match_nothing(header: str, versions: set[int]) -> None:
    expected = parse_if_match(header)
    assert expected.versions == frozenset(versions)
    assert [version for version in range(10) if expected.accepts(version, exists=True)] == sorted(versions)


@pytest.mark.parametrize("header", ["*", " * "])
def test_a_star_means_that_it_exists(header: str) -> None:
    expected = parse_if_match(header)
    assert expected.accepts(7, exists=True)
    assert not expected.accepts(7, exists=False)


@pytest.mark.parametrize(
    "header", ["", "3", '"3', "'3'", '"3" "4"', '"3",', ', "3"', '*, "3"', '"3", *', 'w/"3"', '"3"x']
)
def test_what_is_no_list_of_tags_is_a_bad_request_that_names_the_header(header: str) -> None:
    with pytest.raises(Problem) as caught:
        parse_if_match(header)
    assert caught.value.kind is BAD_REQUEST
    assert caught.value.members["errors"][0]["parameter"] == "If-Match"


@given(st.text(st.characters(max_codepoint=0xFF), max_size=40))
def test_any_header_is_a_list_of_tags_or_a_bad_request(header: str) -> None:
    try:
        parse_if_match(header)
    except Problem as problem:
        assert problem.kind is BAD_REQUEST


def test_what_is_expected_is_part_of_what_a_key_stands_for() -> None:
    contents = [ExpectedVersion(None), *(ExpectedVersion(frozenset(v)) for v in ((), (1,), (1, 2)))]
    assert len({expected.content() for expected in contents}) == 4
    assert parse_if_match('"2","1"').content() == parse_if_match('"1", "2-0123456789abcdef"').content()
