"""What is given back: the pieces that the customer has not got, to the cent, and never more than was paid."""

from decimal import Decimal

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from command_service.orders.domain.order import Cancelled, Returned
from contracts.events import OrderCancelled, OrderItemsReturned, OrderPlaced, RemainingItemsCancelled

from .order_support import CUP, STREAM, TEA, OrderShop, cancel, pay, place, ship, shop, take_back


def refunds(given: OrderShop) -> list[str]:
    kinds = OrderCancelled | OrderItemsReturned | RemainingItemsCancelled
    return [event.refund for event in given.past[STREAM] if isinstance(event, kinds)]


def total(given: OrderShop) -> str:
    placed = given.past[STREAM][0]
    assert isinstance(placed, OrderPlaced)
    return placed.total


def test_nothing_is_refunded_of_an_order_that_was_not_paid_and_all_of_one_that_was() -> None:
    given = shop((TEA, "10.005", 9)).do(place((TEA, 3)))
    assert refunds(given.do(cancel())) == ["0.00"]
    given = shop((TEA, "10.005", 9)).do(place((TEA, 3)), pay("30.02"), cancel("gone"))
    assert refunds(given) == ["30.02"]
    assert isinstance(given.order, Cancelled)


@pytest.mark.parametrize(
    ("currency", "price", "paid", "returned"),
    [
        # 3 × 0.335 = 1.005 → 1.01; one by one 0.34, 0.67 − 0.34, 1.01 − 0.67.
        ("EUR", "0.335", "1.01", ["0.34", "0.33", "0.34"]),
        ("JPY", "0.50", "2.00", ["1.00", "0.00", "1.00"]),
        ("KWD", "0.0005", "0.002", ["0.001", "0.00", "0.001"]),
    ],
)
def test_what_comes_back_piece_by_piece_is_refunded_to_the_very_total(
    currency: str, price: str, paid: str, returned: list[str]
) -> None:
    given = shop((TEA, price, 9), currency=currency).do(place((TEA, 3)), pay(paid), ship())
    for _ in range(3):
        given.do(take_back((TEA, 1)))
    assert refunds(given) == returned
    assert isinstance(given.order, Returned)


def test_cancelled_and_returned_pieces_together_are_the_total() -> None:
    given = shop((TEA, "0.335", 9), (CUP, "0.0049", 9)).do(place((TEA, 3), (CUP, 1)), pay("1.01"), ship((TEA, 1)))
    given.do(take_back((TEA, 1)), cancel())
    assert refunds(given) == ["0.34", "0.67"]


_orders = st.lists(st.tuples(st.sampled_from([TEA, CUP]), st.integers(1, 5)), min_size=1, max_size=5)
_prices = st.integers(0, 99_999).map(lambda ticks: f"{Decimal(ticks) / 10_000:.4f}")


@drawn(st.sampled_from(["EUR", "JPY", "KWD"]), _prices, _prices, _orders, st.data())
def test_however_an_order_comes_back_its_refunds_are_never_negative_and_add_up_to_its_total(
    currency: str, tea: str, cup: str, ordered: list[tuple[str, int]], data: st.DataObject
) -> None:
    given = shop((TEA, tea, 99), (CUP, cup, 99), currency=currency).do(place(*ordered))
    given.do(pay(total(given)))
    shipped = data.draw(st.integers(1, len(ordered)))
    given.do(ship(*ordered[:shipped]))
    back = data.draw(st.permutations(ordered[:shipped]))
    cancelled_after = data.draw(st.integers(0, len(back)))
    for number, one in enumerate(back):
        if number == cancelled_after and shipped < len(ordered):
            given.do(cancel())
        given.do(take_back(one))
    if cancelled_after == len(back) and shipped < len(ordered):
        given.do(cancel())
    assert all(not refund.startswith("-") for refund in refunds(given))
    assert sum(map(Decimal, refunds(given))) == Decimal(total(given))
    assert isinstance(given.order, Returned)
