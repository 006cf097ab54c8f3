"""An order's details, its summary and what it is found by, after each of its events."""

from typing import Any

import pytest
from projector_testing.orders import pieces
from projector_testing.shop import GENERATION, order_id, product_id

from contracts import events
from contracts.documents import OrderDetails, OrderDetailsLine, OrderSummary
from contracts.envelope import Metadata, RecordedEvent
from contracts.events import OrderLine
from contracts.keys import order_member
from projector.projections import order
from projector.projections.indexing import ORDER_FACETS, IndexChange
from projector.projections.order_summary import summarise

ID = order_id(1)
T1, T2 = "2026-11-21T10:00:00.000000Z", "2026-11-22T10:00:00.000000Z"
PLACED = events.OrderPlaced(
    customer_id="ann",
    lines=tuple(
        OrderLine(product_id=product_id(n), name=f"Chai {n}", quantity=quantity, unit_price="2.50")
        for n, quantity in enumerate((3, 2), 1)
    ),
    total="12.50",
    currency="EUR",
    payment_seconds=900,
)
PAID = events.OrderPaid(amount="12.50", reference="transfer 4711")
REST = "wanted no more"


def shipped(*quantities: int) -> events.OrderItemsShipped:
    return events.OrderItemsShipped(lines=pieces(*quantities))


def returned(*quantities: int) -> events.OrderItemsReturned:
    return events.OrderItemsReturned(lines=pieces(*quantities), restocked=True, refund="2.50")


def rest_cancelled(*quantities: int) -> events.RemainingItemsCancelled:
    return events.RemainingItemsCancelled(lines=pieces(*quantities), reason=REST, refund="2.50")


def recorded(event: events.Event, version: int, time: str) -> RecordedEvent:
    metadata = Metadata("Test", "c", "c", "c")
    return RecordedEvent(1, f"order-{ID}", version, ID, event.type, 1, event.model_dump(), time, time, metadata)


def after(*happened: Any, times: tuple[str, ...] = ()) -> OrderDetails:
    document: OrderDetails | None = None
    for version, event in enumerate(happened, 1):
        time = times[version - 1] if times else T1
        document = order.project(document, event, recorded(event, version, time))
    assert document is not None
    return document


def moved(document: OrderDetails, where: str) -> list[int]:
    return [line[where] for line in document.lines]  # type: ignore[literal-required]


def test_a_placed_order_shows_what_it_was_placed_with() -> None:
    line: OrderDetailsLine = {
        "product_id": product_id(1),
        "name": "Chai 1",
        "quantity": 3,
        "unit_price": "2.50",
        "shipped": 0,
        "returned": 0,
        "cancelled": 0,
    }
    second: OrderDetailsLine = {**line, "product_id": product_id(2), "name": "Chai 2", "quantity": 2}
    assert after(PLACED) == OrderDetails(ID, "ann", "placed", [line, second], "12.50", "EUR", T1, T1, 1)


def test_a_paid_order_shows_by_what() -> None:
    paid = after(PLACED, PAID)
    assert (paid.status, paid.payment_reference, paid.cancellation_reason) == ("paid", "transfer 4711", None)


@pytest.mark.parametrize(
    ("happened", "status"),
    [
        ([shipped(3, 1)], "partially_shipped"),
        ([shipped(3, 2)], "shipped"),
        ([shipped(1, 2), shipped(2)], "shipped"),
        ([shipped(3, 2), returned(1)], "partially_returned"),
        ([shipped(3, 2), returned(3)], "partially_returned"),
        ([shipped(3, 2), returned(3), returned(0, 2)], "returned"),
        ([shipped(3), returned(3)], "partially_shipped"),
        ([shipped(3), returned(1), shipped(0, 2)], "partially_returned"),
        ([shipped(3), returned(3), shipped(0, 2)], "partially_returned"),
        ([shipped(3), rest_cancelled(0, 2)], "shipped"),
        ([shipped(3), returned(1), rest_cancelled(0, 2)], "partially_returned"),
        ([shipped(3), returned(3), rest_cancelled(0, 2)], "returned"),
        ([shipped(3), rest_cancelled(0, 2), returned(3)], "returned"),
    ],
)
def test_how_far_an_order_is_follows_from_its_pieces(happened: list[Any], status: str) -> None:
    assert after(PLACED, PAID, *happened).status == status


def test_pieces_are_counted_by_line() -> None:
    document = after(PLACED, PAID, shipped(1, 1), shipped(1), returned(2, 1), rest_cancelled(1, 1))
    assert (moved(document, "shipped"), moved(document, "returned")) == ([2, 1], [2, 1])
    assert (moved(document, "cancelled"), document.cancellation_reason) == ([1, 1], REST)


def test_a_cancelled_order_is_cancelled_line_by_line() -> None:
    document = after(PLACED, PAID, events.OrderCancelled(reason="too late", refund="12.50"))
    assert (document.status, document.cancellation_reason) == ("cancelled", "too late")
    assert (moved(document, "cancelled"), document.payment_reference) == ([3, 2], "transfer 4711")


def test_an_expired_order_says_why_it_was_cancelled() -> None:
    document = after(PLACED, events.OrderExpired())
    assert (document.status, document.cancellation_reason) == ("cancelled", "payment deadline passed")
    assert moved(document, "cancelled") == [3, 2]


def test_an_earlier_state_stays_as_it_was() -> None:
    before = after(PLACED, PAID)
    event = shipped(3, 2)
    order.project(before, event, recorded(event, 3, T1))
    assert moved(before, "shipped") == [0, 0]


def test_placed_at_stays_and_updated_at_never_goes_back() -> None:
    document = after(PLACED, PAID, shipped(1), times=(T1, T2, T1))
    assert (document.placed_at, document.updated_at, document.version) == (T1, T2, 3)


def test_an_order_is_hidden_until_it_was_placed() -> None:
    assert order.is_hidden(after(PAID))
    assert not order.is_hidden(after(PLACED))


def test_the_summary_says_the_same_as_the_details() -> None:
    document = after(PLACED, PAID, shipped(1))
    assert summarise(document) == OrderSummary(ID, "ann", "partially_shipped", "12.50", "EUR", 2, T1)


def test_an_order_is_found_by_customer_and_status() -> None:
    index = IndexChange()
    index.move(ORDER_FACETS, GENERATION, None, after(PLACED))
    member = order_member(ID, T1)
    wanted = {GENERATION.orders(*by) for by in ((), ("ann",), (None, "placed"), ("ann", "placed"))}
    assert index.added == {key: [member] for key in wanted}


def test_only_the_indexes_of_its_status_change_with_it() -> None:
    index = IndexChange()
    index.move(ORDER_FACETS, GENERATION, after(PLACED), after(PLACED, PAID))
    assert set(index.removed) == {GENERATION.orders(*by) for by in ((None, "placed"), ("ann", "placed"))}
    assert set(index.added) == {GENERATION.orders(*by) for by in ((None, "paid"), ("ann", "paid"))}
    index = IndexChange()
    index.move(ORDER_FACETS, GENERATION, after(PLACED, PAID, shipped(1)), after(PLACED, PAID, shipped(1), shipped(1)))
    assert (index.removed, index.added) == ({}, {})
