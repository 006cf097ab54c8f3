"""Index members: the order of their bytes is the order of what they stand for."""

from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from hypothesis import example, given
from hypothesis import strategies as st

from contracts import keys
from contracts.documents import ProductDisplay
from contracts.envelope import rfc3339
from contracts.money import format_money, from_ticks, to_ticks
from contracts.text import fold

_ids = st.uuids().map(str)
_ticks = st.integers(0, 10**15 - 1)
_names = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=30)
_ratings = st.none() | st.integers(100, 500).map(lambda hundredths: hundredths / 100)
_times = st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC)).map(rfc3339)


def in_order(low: bytes, high: bytes, before: bool, same: bool, ids: tuple[str, str]) -> bool:
    """Whether two members stand as their values do, ties by id."""
    return (low < high) == (before or (same and UUID(ids[0]).bytes < UUID(ids[1]).bytes))


@given(_ticks, _ticks, _ids, _ids)
@example(0, 10**15 - 1, str(UUID(int=2)), str(UUID(int=1)))
def test_products_by_price_stand_in_the_order_of_price_up_and_down(one: int, other: int, id1: str, id2: str) -> None:
    low, high = ProductDisplay(id1, price=from_ticks(one)), ProductDisplay(id2, price=from_ticks(other))
    up = [keys.sort_member("price", product) for product in (low, high)]
    down = [keys.sort_member("-price", product) for product in (low, high)]
    assert in_order(up[0], up[1], one < other, one == other, (id1, id2))
    assert in_order(down[0], down[1], one > other, one == other, (id1, id2))


@given(_names, _names, _ids, _ids)
@example("Chai", "Chai Tea", str(UUID(int=2)), str(UUID(int=1)))
@example("Éclair", "eclair", str(UUID(int=2)), str(UUID(int=1)))
def test_products_by_name_stand_in_the_order_of_their_folded_names(one: str, other: str, id1: str, id2: str) -> None:
    members = [keys.sort_member("name", ProductDisplay(i, name=n)) for i, n in ((id1, one), (id2, other))]
    first, second = fold(one), fold(other)
    assert in_order(members[0], members[1], first < second, first == second, (id1, id2))


@given(_ratings, _ratings, _ids, _ids)
@example(5.0, None, str(UUID(int=2)), str(UUID(int=1)))
@example(1.0, None, str(UUID(int=2)), str(UUID(int=1)))
def test_the_best_rated_stand_first_and_the_unrated_last(
    one: float | None, other: float | None, id1: str, id2: str
) -> None:
    members = [keys.sort_member("-rating", ProductDisplay(i, user_rating=r)) for i, r in ((id1, one), (id2, other))]
    first, second = (-1.0 if rating is None else rating for rating in (one, other))
    assert in_order(members[0], members[1], first > second, first == second, (id1, id2))


@given(_times, _times, _ids, _ids)
def test_the_newest_products_stand_first(one: str, other: str, id1: str, id2: str) -> None:
    members = [keys.sort_member("-created_at", ProductDisplay(i, created_at=t)) for i, t in ((id1, one), (id2, other))]
    assert in_order(members[0], members[1], one > other, one == other, (id1, id2))


@given(st.integers(0, 10**13 - 1), st.integers(0, 10**13 - 1), _ids, _ids)
def test_inventories_stand_in_the_order_of_what_is_available(one: int, other: int, id1: str, id2: str) -> None:
    members = keys.stock_member(id1, one), keys.stock_member(id2, other)
    assert in_order(members[0], members[1], one < other, one == other, (id1, id2))


@given(_names, _names, _times, _ids)
def test_all_products_with_a_word_are_one_range_and_so_are_those_with_a_prefix(
    word: str, other: str, created_at: str, product_id: str
) -> None:
    word, other = fold(word).replace("\x00", ""), fold(other).replace("\x00", "")
    member = keys.word_member(word, ProductDisplay(product_id, created_at=created_at))
    exact = other.encode() + b"\x00"
    assert (exact <= member < exact[:-1] + b"\x01") == (word == other)
    assert (other.encode() <= member < other.encode() + b"\xff") == word.startswith(other)


@given(_ids, st.sampled_from(keys.SORTS))
def test_a_member_ends_with_its_id(product_id: str, sort: keys.Sort) -> None:
    product = ProductDisplay(product_id, name="x", created_at="2026-11-21T10:00:00.000000Z")
    assert keys.member_id(keys.sort_member(sort, product)) == product_id
    assert keys.member_id(keys.word_member("x", product)) == product_id
    assert keys.member_id(keys.stock_member(product_id, 3)) == product_id


@given(_ticks)
def test_money_goes_into_ticks_and_back_exactly(ticks: int) -> None:
    assert to_ticks(from_ticks(ticks)) == ticks
    whole, _, fraction = from_ticks(ticks).partition(".")
    assert whole == str(ticks // 10_000)
    assert len(fraction) >= 2
    assert len(fraction) == 2 or not fraction.endswith("0")


def test_money_is_written_in_one_way_only() -> None:
    assert [format_money(Decimal(text)) for text in ("5", "5.0", "0.125", "0.1000", "99999999999.9999")] == [
        "5.00",
        "5.00",
        "0.125",
        "0.10",
        "99999999999.9999",
    ]


def test_what_a_generation_says_of_itself_stands_under_its_own_prefix_and_apart() -> None:
    generation = keys.Generation(12)
    said = [
        generation.complete,
        generation.schema,
        generation.checkpoint,
        generation.witness,
        generation.rebuilding,
        *(generation.rebuild(p) for p in range(64)),
        *(generation.applied(p) for p in range(64)),
    ]
    assert len(set(said)) == len(said)
    assert all(key.startswith(generation.prefix) for key in said)
