"""Request bodies: what is no JSON, or breaks the schema, is named by its place."""

from decimal import Decimal
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from chassis.body import MAX_ERRORS, parse_json, pointer, validate, validate_parameters
from chassis.problems import INVALID, NOT_JSON, Problem, ProblemType


def refusal(raw: bytes) -> tuple[ProblemType, str, str]:
    with pytest.raises(Problem) as caught:
        parse_json(raw)
    [error] = caught.value.members["errors"]
    return caught.value.kind, error["pointer"], error["detail"]


@pytest.mark.parametrize(
    ("raw", "kind", "place", "says"),
    [
        (b"{'a': 1}", NOT_JSON, "#", "not JSON"),
        (b'{"a": 1', NOT_JSON, "#", "not JSON"),
        (b"   ", NOT_JSON, "#", "not JSON"),
        (b"{} {}", NOT_JSON, "#", "not JSON"),
        (b"\x00", NOT_JSON, "#", "not JSON"),
        (b'{"a": "\x00"}', NOT_JSON, "#", "not JSON"),
        (b'{"a": [1, NaN]}', NOT_JSON, "#/a/1", "NaN"),
        (b'{"price": -Infinity}', NOT_JSON, "#/price", "NaN and Infinity"),
        (b'{"a": 1, "b": 2, "a": 1}', NOT_JSON, "#/a", "more than once"),
        (b'{"x": [{}, {"a/b": 1, "a/b": 2}]}', NOT_JSON, "#/x/1/a~1b", "more than once"),
        (b'{"a": {"x": 1, "x": 2}, "a": 3}', NOT_JSON, "#/x", "more than once"),
        (b"[" * 10_000 + b"]" * 10_000, NOT_JSON, "#", "too deeply"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, NOT_JSON, "#", "too deeply"),
        (b'{"b": NaN, "a": ' + b"[" * 5_000 + b"]" * 5_000 + b"}", NOT_JSON, "#", "too deeply"),
        (b'{"a": "\xff"}', NOT_JSON, "#", "byte 7"),
        (b'"\xed\xa0\x80"', NOT_JSON, "#", "not UTF-8"),
        ("{}".encode("utf-16"), NOT_JSON, "#", "not UTF-8"),
        (b"\xef\xbb\xbf{}", NOT_JSON, "#", "byte order mark"),
        (b'{"name": ["ok", "\\ud800"]}', INVALID, "#/name/1", "surrogate"),
        (b'{"x": {"\\udfff": 1}}', INVALID, "#/x", "surrogate"),
        (b'{"price": 1e99999999999999999999}', INVALID, "#/price", "greater exponent"),
        (b'{"price": [' + b"9" * 5000 + b"]}", INVALID, "#/price/0", "more digits"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_can_not_be_read_is_refused_with_its_place(raw: bytes, kind: ProblemType, place: str, says: str) -> None:
    refused, where, detail = refusal(raw)
    assert (refused, where) == (kind, place)
    assert says in detail


def test_a_body_as_deep_as_our_own_stack_is_still_only_too_deep() -> None:
    def below(frames: int, depth: int) -> None:
        if frames:
            below(frames - 1, depth)
        else:
            assert refusal(b'{"n": NaN, "a": ' + b"[" * depth + b"]" * depth + b"}")[0] is NOT_JSON

    for depth in range(300, 950, 13):
        below(50, depth)


def test_a_repeated_field_among_ten_thousands_is_found_by_one_look_at_each() -> None:
    class Counted(str):
        compared = 0

        def __eq__(self, other: object) -> bool:
            Counted.compared += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    from chassis import body

    pairs: list[tuple[str, Any]] = [(Counted(f"k{n}"), n) for n in range(2000)]
    repeated: list[tuple[dict[str, Any], str]] = []
    body._pairs([*pairs, ("z", 1), ("z", 2)], repeated)
    assert [name for _, name in repeated] == ["z"]
    assert Counted.compared < 20 * len(pairs)


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"0.1", Decimal("0.1")),
        (b"1e3", Decimal(1000)),
        (b"-0.0", Decimal("-0.0")),
        (b"99999999999.9999", Decimal("99999999999.9999")),
        (b"12345678901234567890", 12345678901234567890),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b'"\\u0000"', "\x00"),
    ],
)
def test_numbers_and_texts_arrive_exactly_as_they_were_sent(raw: bytes, value: object) -> None:
    parsed = parse_json(raw)
    assert (parsed, type(parsed)) == (value, type(value))
    assert str(parsed) == str(value) or isinstance(value, Decimal)


@given(st.binary(max_size=60))
def test_any_bytes_are_json_or_a_problem(raw: bytes) -> None:
    try:
        parse_json(raw)
    except Problem as problem:
        assert problem.kind in (NOT_JSON, INVALID)


class Line(BaseModel):
    model_config = ConfigDict(extra="forbid")
    quantity: Annotated[int, Field(strict=True, ge=1)]


class Order(BaseModel):
    model_config = ConfigDict(extra="forbid")
    lines: list[Line]


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ({"lines": [{"quantity": 1}, {"quantity": "2"}]}, "#/lines/1/quantity"),
        ({"lines": [{"quantity": True}]}, "#/lines/0/quantity"),
        ({}, "#/lines"),
        ({"lines": [], "no/such~field é": 1}, "#/no~1such~0field%20%C3%A9"),
        ([], "#"),
        (None, "#"),
    ],
)
def test_each_fault_of_a_body_has_its_json_pointer(document: object, place: str) -> None:
    with pytest.raises(Problem) as caught:
        validate(Order, document)
    assert caught.value.kind is INVALID
    assert [error["pointer"] for error in caught.value.members["errors"]] == [place]


def test_a_body_with_any_number_of_faults_lists_a_few() -> None:
    with pytest.raises(Problem) as caught:
        validate(Order, {"lines": [{"quantity": 0}] * 5000})
    assert len(caught.value.members["errors"]) == MAX_ERRORS


def test_pointers_are_fragments_of_a_uri() -> None:
    assert pointer(("a/b", 0, "c~d", "e f%")) == "#/a~1b/0/c~0d/e%20f%25"
    assert pointer(()) == "#"


class BasketLine(BaseModel):
    quantity: int


class Basket(BaseModel):
    lines: tuple[BasketLine, ...] = Field(min_length=1)


@pytest.mark.parametrize(
    ("document", "faults"),
    [
        ({"lines": [{"quantity": "x"}]}, ["#/lines/0/quantity"]),
        ({"lines": []}, ["#/lines"]),
        ({"lines": {}}, ["#/lines"]),
    ],
)
def test_an_array_with_invalid_members_is_not_called_too_short_as_well(
    document: dict[str, object], faults: list[str]
) -> None:
    with pytest.raises(Problem) as caught:
        validate(Basket, document)
    assert [error["pointer"] for error in caught.value.members["errors"]] == faults


def test_what_is_no_array_is_told_in_the_words_of_json() -> None:
    with pytest.raises(Problem) as caught:
        validate(Basket, {"lines": "many"})
    assert [error["detail"] for error in caught.value.members["errors"]] == ["Expected an array."]


class Page(BaseModel):
    model_config = ConfigDict(extra="forbid")
    limit: int = Field(20, ge=1, le=100)


@pytest.mark.parametrize(
    ("pairs", "parameter"),
    [
        ([("limit", "1"), ("limit", "2")], "limit"),
        ([("limit", "x")], "limit"),
        ([("limit", "101")], "limit"),
        ([("page", "1")], "page"),
    ],
)
def test_each_fault_of_the_query_names_its_parameter(pairs: list[tuple[str, str]], parameter: str) -> None:
    with pytest.raises(Problem) as caught:
        validate_parameters(Page, pairs)
    assert caught.value.kind is INVALID
    assert [error["parameter"] for error in caught.value.members["errors"]] == [parameter]
