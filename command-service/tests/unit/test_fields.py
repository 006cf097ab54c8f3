"""What a command's fields take: money in every form a client may send, text, ids, counts."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from chassis.body import parse_json, validate
from chassis.problems import INVALID, NOT_JSON, Problem
from command_service.fields import Category, Count, Description, Money, Name, Pieces, Reason, Sku, Stars, UserId, Uuid


class Everything(BaseModel):
    model_config = ConfigDict(extra="forbid")
    money: Money = "0.00"
    name: Name = "x"
    category: Category = "x"
    description: Description = ""
    reason: Reason = ""
    sku: Sku = "x"
    user: UserId = "x"
    id: Uuid = ""
    stars: Stars = 1
    pieces: Pieces = 1
    count: Count = 0


def taken(field: str, raw: str) -> Any:
    """What the field makes of a JSON value, as it comes in over HTTP."""
    return getattr(validate(Everything, parse_json(f'{{"{field}": {raw}}}'.encode())), field)


def refused(field: str, raw: str) -> Problem:
    with pytest.raises(Problem) as caught:
        taken(field, raw)
    assert caught.value.members["errors"][0]["pointer"] == f"#/{field}"
    return caught.value


@pytest.mark.parametrize(
    ("raw", "amount"),
    [
        ("0.1", "0.10"),
        ("0", "0.00"),
        ("-0.0", "0.00"),
        ("-0", "0.00"),
        ("1e3", "1000.00"),
        ("1E-4", "0.0001"),
        ("349.99", "349.99"),
        ("99999999999.9999", "99999999999.9999"),
        ("0.12345000e1", "1.2345"),
        ("1." + "0" * 3000, "1.00"),
        ('"349.99"', "349.99"),
        ('"349.9900"', "349.99"),
        ('"0.125"', "0.125"),
        ('"5"', "5.00"),
        ('"00000000005"', "5.00"),
        ('"99999999999.9999"', "99999999999.9999"),
    ],
)
def test_money_is_a_decimal_string_or_a_number_and_never_goes_through_a_float(raw: str, amount: str) -> None:
    assert taken("money", raw) == amount


@pytest.mark.parametrize(
    "raw",
    [
        "0.00001", "100000000000", "99999999999.99991", "-0.01", "-1", "1e11", "1e400", "1e-400", "1e999999",
        "1e-999999", "0." + "9" * 200_000, "1e99999999999999999999", "9" * 5000, "true", "false", "null", "[]", "{}",
        '"1e3"', '"NaN"', '"Infinity"', '""', '" 1"', '"1 "', '"1\\n"', '"+1"', '"-1"', '"-0"', '".5"', '"5."',
        '"1,50"', '"1_000"', '"0.00001"', '"100000000000"', '"١"', '"５"', '"0x10"', '"1\\u0000"',
    ],
    ids=lambda raw: raw[:24],
)  # fmt: skip
def test_what_is_no_amount_of_money_is_refused_by_its_name(raw: str) -> None:
    assert refused("money", raw).kind is INVALID


def test_a_number_that_is_no_number_is_no_json() -> None:
    assert refused("money", "NaN").kind is NOT_JSON


@given(st.decimals(min_value=0, max_value=Decimal("99999999999.9999"), places=4, allow_nan=False))
def test_a_number_and_its_string_are_the_same_amount(amount: Decimal) -> None:
    as_string = taken("money", f'"{amount:.4f}"')
    assert taken("money", f"{amount:.4f}") == taken("money", f"{amount:e}") == as_string
    assert Decimal(as_string) == amount


TEXTS = ("name", "category", "description", "reason")


@pytest.mark.parametrize(
    ("field", "longest"), [("name", 200), ("category", 100), ("description", 4000), ("reason", 500)]
)
def test_text_is_taken_as_it_is_up_to_its_length_in_characters(field: str, longest: int) -> None:
    for text in (" Côte\u00a0de Blaye ", "\U0001f600" * longest, "a" * longest):
        if len(text) <= longest:
            assert taken(field, '"' + text + '"') == text
    refused(field, '"' + "a" * (longest + 1) + '"')
    refused(field, '"' + "\U0001f600" * (longest + 1) + '"')


@pytest.mark.parametrize("field", TEXTS)
@pytest.mark.parametrize(
    "raw", ['"a\\u0000"', '"\\u001b[31m"', '"a\\u007f"', '"a\\u0085b"', '"\\u009f"', "1", "true", "[]"]
)
def test_text_with_control_characters_or_of_another_type_is_refused(field: str, raw: str) -> None:
    refused(field, raw)


@pytest.mark.parametrize("field", ["name", "category", "sku", "user", "description", "reason"])
def test_lone_surrogates_are_refused_and_pairs_are_text(field: str) -> None:
    assert refused(field, '"\\ud800"').kind is INVALID
    assert refused(field, '"\\udfff x"').kind is INVALID
    if field in TEXTS:
        assert taken(field, '"\\ud83d\\ude00"') == "\U0001f600"


def test_lines_are_for_longer_text_only() -> None:
    assert taken("description", '"a\\n\\tb\\r\\n"') == "a\n\tb\r\n"
    assert taken("reason", '"a\\nb"') == "a\nb"
    refused("name", '"a\\nb"')
    refused("category", '"a\\tb"')


@pytest.mark.parametrize("field", ["name", "category"])
@pytest.mark.parametrize("raw", ['""', '" "', '"\\u00a0\\u2003"', '"\\u3000"'])
def test_a_name_is_more_than_white_space(field: str, raw: str) -> None:
    refused(field, raw)


@pytest.mark.parametrize("raw", ['"A b.C-1~!"', '" "', '"' + "x" * 64 + '"'])
def test_a_sku_is_printable_ascii(raw: str) -> None:
    assert taken("sku", raw) == raw[1:-1]


@pytest.mark.parametrize("raw", ['""', '"a/b"', '"é"', '"' + "x" * 65 + '"', '"a\\n"', '"a\\u007f"', "5"])
def test_a_sku_has_no_slash_and_nothing_but_printable_ascii(raw: str) -> None:
    refused("sku", raw)
    refused("user", raw)


def test_a_user_id_has_no_spaces() -> None:
    assert taken("user", '"ann@example.org:1"') == "ann@example.org:1"
    refused("user", '"ann b"')


def test_an_id_is_a_uuid_in_its_canonical_form() -> None:
    assert taken("id", '"0190A5F0-7C3E-7B1A-9D2E-3F4A5B6C7D8E"') == "0190a5f0-7c3e-7b1a-9d2e-3f4a5b6c7d8e"
    for bad in ('"x"', '""', "1", '"0190a5f07c3e7b1a9d2e3f4a5b6c7d8e"', '"{0190a5f0-7c3e-7b1a-9d2e-3f4a5b6c7d8e}"'):
        refused("id", bad)
    refused("id", '"urn:uuid:0190a5f0-7c3e-7b1a-9d2e-3f4a5b6c7d8e"')
    refused("id", '"0190a5f0-7c3e-7b1a-9d2e-3f4a5b6c7d8e\\n"')


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("stars", ["1", "5"], ["0", "6", "4.5", "4.00001", "1e400", '"4"', "true", "null"]),
        ("pieces", ["1", "1000000000"], ["0", "-1", "1000000001", "1e999999", "1e-2", '"1"', "true", "9" * 4000]),
        ("count", ["0", "1000000000"], ["-1", "1000000001", "0.5", '"0"', "false"]),
    ],
)
def test_counts_are_whole_numbers_within_their_range(field: str, good: list[str], bad: list[str]) -> None:
    assert [taken(field, raw) for raw in good] == [int(raw) for raw in good]
    for raw in bad:
        refused(field, raw)


def test_a_whole_number_may_be_written_with_a_fraction_of_nothing_or_an_exponent() -> None:
    written = [taken("stars", "4.0"), taken("pieces", "1e2"), taken("count", "-0.0"), taken("pieces", "1.5E1")]
    assert written == [4, 100, 0, 15]
    assert {type(number) for number in written} == {int}
