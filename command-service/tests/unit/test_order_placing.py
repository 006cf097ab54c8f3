"""Placing an order: priced from the catalogue, rounded once, and all of it reserved, or nothing."""

from typing import Any

import pytest

from command_service.catalog.domain.discontinue_product import DiscontinueProduct
from command_service.orders.domain.place_order import PlaceOrder, PlacePastOrder
from command_service.problems import (
    InsufficientStock,
    OrderExists,
    OrderTooLarge,
    PriceChanged,
    ProductDiscontinued,
    ProductNotFound,
)
from contracts.events import OrderLine, OrderPlaced, StockRecounted, StockReserved
from contracts.events import PriceChanged as PriceWasChanged
from contracts.streams import inventory_stream, product_stream

from .order_support import CUP, ORDER_ID, POT, STREAM, TEA, lines, place, shop


def reserved(quantity: int, available: int) -> StockReserved:
    return StockReserved(available=available, order_id=ORDER_ID, quantity=quantity)


def placed(event: Any) -> OrderPlaced:
    assert isinstance(event, OrderPlaced)
    return event


def test_lines_keep_name_and_price_and_each_product_is_reserved_once() -> None:
    given = shop((TEA, "18.005", 10), (CUP, "4.50", 3))
    assert given.when(place((TEA, 4), (CUP, 2), (TEA, 1))) == [
        (
            STREAM,
            OrderPlaced(
                customer_id="ann",
                lines=(
                    OrderLine(product_id=TEA, name="Name of 1", quantity=4, unit_price="18.005"),
                    OrderLine(product_id=CUP, name="Name of 2", quantity=2, unit_price="4.50"),
                    OrderLine(product_id=TEA, name="Name of 1", quantity=1, unit_price="18.005"),
                ),
                total="99.03",
                currency="EUR",
                payment_seconds=900,
            ),
        ),
        (inventory_stream(TEA), reserved(5, available=5)),
        (inventory_stream(CUP), reserved(2, available=1)),
    ]


@pytest.mark.parametrize(
    ("currency", "prices", "total"),
    [
        ("EUR", ["0.005"], "0.01"),
        ("EUR", ["0.0049"], "0.00"),
        # Each line alone would be rounded to 0.00: it is the sum that is rounded, once.
        ("EUR", ["0.0025", "0.0025"], "0.01"),
        ("EUR", ["1.0049", "1.0049"], "2.01"),
        ("JPY", ["0.50"], "1.00"),
        ("JPY", ["0.4999"], "0.00"),
        ("JPY", ["10.50", "10.00"], "21.00"),
        ("KWD", ["0.0005"], "0.001"),
        ("KWD", ["1.2344"], "1.234"),
        ("CLF", ["1.2344"], "1.2344"),
        ("EUR", ["0.00"], "0.00"),
    ],
)
def test_the_total_is_rounded_once_half_up_to_the_currencys_minor_unit(
    currency: str, prices: list[str], total: str
) -> None:
    products = list(zip((TEA, CUP, POT), prices, (9, 9, 9), strict=False))
    given = shop(*products, currency=currency)
    assert placed(given.order_event(place(*((one, 1) for one, _, _ in products)))).total == total


def test_a_total_below_the_limit_is_taken_and_one_that_reaches_it_by_rounding_is_not() -> None:
    given = shop((TEA, "99999999999.99", 9), (CUP, "0.0049", 9), (POT, "0.005", 9))
    assert placed(given.order_event(place((TEA, 1), (CUP, 1)))).total == "99999999999.99"
    assert isinstance(given.refuses(place((TEA, 1), (POT, 1))), OrderTooLarge)
    assert isinstance(given.refuses(place((TEA, 2))), OrderTooLarge)


def test_every_short_product_is_named_once_with_all_that_was_asked_of_it() -> None:
    given = shop((TEA, "1", 100), (CUP, "1", 2), (POT, "1", 0))
    refusal = given.refuses(place((TEA, 5), (CUP, 2), (CUP, 1), (POT, 1)))
    assert isinstance(refusal, InsufficientStock)
    assert refusal.members["lines"] == [
        {"product_id": CUP, "requested": 3, "available": 2},
        {"product_id": POT, "requested": 1, "available": 0},
    ]


def test_what_others_have_reserved_is_not_available_and_a_shortage_is_none() -> None:
    given = shop((TEA, "1", 10)).do(place((TEA, 6), id=POT))
    assert given.refuses(place((TEA, 5))).members["lines"][0]["available"] == 4
    counted = StockRecounted(available=0, counted_quantity=4, previous_quantity=10)
    given.happened(inventory_stream(TEA), counted)
    assert given.refuses(place((TEA, 1))).members["lines"][0]["available"] == 0


def test_the_last_piece_can_be_ordered() -> None:
    assert shop((TEA, "1", 1)).when(place((TEA, 1)))[1] == (inventory_stream(TEA), reserved(1, available=0))


def test_an_expected_price_is_compared_as_money_and_all_that_differ_are_named() -> None:
    given = shop((TEA, "18.00", 9), (CUP, "4.50", 9))
    right = [{"product_id": TEA, "quantity": 1, "expected_price": 18}]
    assert given.when(place(lines=right))
    wrong = [*right, {"product_id": CUP, "quantity": 1, "expected_price": "4.5001"}]
    refusal = given.refuses(place(lines=wrong))
    assert isinstance(refusal, PriceChanged)
    assert refusal.members["lines"] == [{"product_id": CUP, "expected_price": "4.5001", "price": "4.50"}]
    given.happened(product_stream(TEA), PriceWasChanged(price="19.00", previous_price="18.00"))
    assert len(given.refuses(place(lines=wrong)).members["lines"]) == 2


def test_discontinued_products_are_named_and_take_no_new_orders() -> None:
    given = shop((TEA, "1", 9), (CUP, "1", 9)).do(DiscontinueProduct(product_id=CUP))
    refusal = given.refuses(place((TEA, 1), (CUP, 1)))
    assert isinstance(refusal, ProductDiscontinued)
    assert refusal.members["product_ids"] == [CUP]


def test_what_is_not_there_is_refused_before_what_is_not_allowed() -> None:
    given = shop((TEA, "1", 9)).do(place((TEA, 1)), DiscontinueProduct(product_id=TEA))
    assert isinstance(given.refuses(place((TEA, 100), (POT, 1))), ProductNotFound)
    assert isinstance(given.refuses(place((TEA, 1))), OrderExists)


def test_an_order_of_the_past_states_its_prices_and_has_no_deadline() -> None:
    given = shop((TEA, "5", 9), (CUP, "2.00", 9))
    data = {"id": ORDER_ID, "customer_id": "ann"}
    stated = [{"product_id": TEA, "quantity": 2, "unit_price": "0"}, *lines((CUP, 1))]
    event = placed(given.order_event(PlacePastOrder.model_validate({**data, "lines": stated})))
    assert ([line.unit_price for line in event.lines], event.total) == (["0.00", "2.00"], "2.00")
    assert event.payment_seconds is None
    with pytest.raises(ValueError, match="unit_price"):
        PlaceOrder.model_validate({**data, "lines": stated})


def test_a_thousand_lines_are_an_order_and_one_more_is_none() -> None:
    given = shop((TEA, "0.01", 1000))
    assert placed(given.order_event(place(*[(TEA, 1)] * 1000))).total == "10.00"
    for count in (0, 1001):
        with pytest.raises(ValueError, match="lines"):
            place(*[(TEA, 1)] * count)
