"""Each command in each state of an order: what it leads to, or which refusal it meets."""

from collections.abc import Callable
from typing import Any

import pytest

from command_service.decider import Command, Rejection
from command_service.orders.domain.expire_order import ExpireOrder
from command_service.orders.domain.order import (
    ORDER,
    Cancelled,
    Paid,
    PartiallyReturned,
    PartiallyShipped,
    Placed,
    Returned,
    Shipped,
)
from command_service.problems import (
    AmountMismatch,
    InsufficientStock,
    OrderNotCancellable,
    OrderNotFound,
    OrderNotPayable,
    OrderNotReturnable,
    OrderNotShippable,
)
from contracts.events import (
    Event,
    ItemsRestocked,
    LinePieces,
    OrderCancelled,
    OrderExpired,
    OrderItemsReturned,
    OrderItemsShipped,
    OrderPaid,
    RemainingItemsCancelled,
    ReservationReleased,
    ReservedItemsShipped,
    StockRecounted,
)
from contracts.streams import inventory_stream

from .order_support import CUP, ORDER_ID, POT, STREAM, TEA, OrderShop, cancel, pay, place, ship, shop, take_back

EXPIRE = ExpireOrder(order_id=ORDER_ID)
PLACE = place((TEA, 2), (CUP, 3), (TEA, 4))
PAY = pay("75.00")


def given(*commands: Command) -> OrderShop:
    """An order of 2 and 4 teas at 10.00 and, between them, 3 cups at 5.00; 10 teas and 10 cups were there."""
    return shop((TEA, "10.00", 10), (CUP, "5.00", 10)).do(PLACE, *commands)


STATES: dict[str, tuple[Callable[[], OrderShop], type]] = {
    "placed": (given, Placed),
    "paid": (lambda: given(PAY), Paid),
    "partially shipped": (lambda: given(PAY, ship((TEA, 3))), PartiallyShipped),
    "partially shipped, returned in part": (
        lambda: given(PAY, ship((TEA, 3)), take_back((TEA, 1))),
        PartiallyShipped,
    ),
    "shipped": (lambda: given(PAY, ship()), Shipped),
    "shipped, the rest cancelled": (lambda: given(PAY, ship((TEA, 3)), cancel()), Shipped),
    "partially returned": (lambda: given(PAY, ship(), take_back((TEA, 3))), PartiallyReturned),
    "returned": (lambda: given(PAY, ship(), take_back((TEA, 6), (CUP, 3))), Returned),
    "returned, the rest cancelled": (
        lambda: given(PAY, ship((TEA, 3)), cancel(), take_back((TEA, 3))),
        Returned,
    ),
    "cancelled": (lambda: given(cancel()), Cancelled),
    "expired": (lambda: given(EXPIRE), Cancelled),
    "cancelled when paid": (lambda: given(PAY, cancel()), Cancelled),
}
OTHER_PAYMENT = pay("75.00", "another card")

# What the order's event is, or the refusal; None: it succeeds and changes nothing.
RULES: dict[str, tuple[type | None, ...]] = {
    #                                     pay again/first, pay otherwise, ship one cup, cancel, return a tea, expire
    "placed": (OrderPaid, OrderPaid, OrderNotShippable, OrderCancelled, OrderNotReturnable, OrderExpired),
    "paid": (None, OrderNotPayable, OrderItemsShipped, OrderCancelled, OrderNotReturnable, None),
    "partially shipped": (
        None,
        OrderNotPayable,
        OrderItemsShipped,
        RemainingItemsCancelled,
        OrderItemsReturned,
        None,
    ),
    "partially shipped, returned in part": (
        None,
        OrderNotPayable,
        OrderItemsShipped,
        RemainingItemsCancelled,
        OrderItemsReturned,
        None,
    ),
    "shipped": (None, OrderNotPayable, OrderNotShippable, OrderNotCancellable, OrderItemsReturned, None),
    "shipped, the rest cancelled": (
        None,
        OrderNotPayable,
        OrderNotShippable,
        OrderNotCancellable,
        OrderItemsReturned,
        None,
    ),
    "partially returned": (None, OrderNotPayable, OrderNotShippable, OrderNotCancellable, OrderItemsReturned, None),
    "returned": (None, OrderNotPayable, OrderNotShippable, OrderNotCancellable, OrderNotReturnable, None),
    "returned, the rest cancelled": (
        None,
        OrderNotPayable,
        OrderNotShippable,
        OrderNotCancellable,
        OrderNotReturnable,
        None,
    ),
    "cancelled": (OrderNotPayable, OrderNotPayable, OrderNotShippable, None, OrderNotReturnable, None),
    "expired": (OrderNotPayable, OrderNotPayable, OrderNotShippable, None, OrderNotReturnable, None),
    "cancelled when paid": (None, OrderNotPayable, OrderNotShippable, None, OrderNotReturnable, None),
}
COMMANDS: tuple[Command, ...] = (PAY, OTHER_PAYMENT, ship((CUP, 1)), cancel(), take_back((TEA, 1)), EXPIRE)


@pytest.mark.parametrize("state", STATES)
def test_an_order_is_in_the_state_that_its_commands_led_to(state: str) -> None:
    make, expected = STATES[state]
    assert type(make().order) is expected


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("number", range(len(COMMANDS)), ids=lambda n: f"{n}-{COMMANDS[n].type_name()}")
def test_each_command_in_each_state_has_its_event_or_its_refusal(state: str, number: int) -> None:
    order, expected = STATES[state][0](), RULES[state][number]
    if expected is None:
        assert order.when(COMMANDS[number]) == []
    elif issubclass(expected, Rejection):
        assert type(order.refuses(COMMANDS[number])) is expected
    else:
        assert type(order.order_event(COMMANDS[number])) is expected


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: c.type_name())
def test_an_order_that_was_never_placed_is_not_found(command: Command) -> None:
    assert type(shop((TEA, "1", 9)).refuses(command)) is OrderNotFound


@pytest.mark.parametrize("state", STATES)
def test_a_snapshot_of_an_order_in_each_state_is_read_as_the_same_order(state: str) -> None:
    order = STATES[state][0]().order
    assert ORDER.snapshot.validate_json(ORDER.snapshot.dump_json(order)) == order


def test_a_payment_is_the_whole_total_as_money() -> None:
    refusal = given().refuses(pay("74.9999"))
    assert isinstance(refusal, AmountMismatch)
    assert refusal.members == {"amount": "74.9999", "total": "75.00"}
    assert given().when(pay("75")) == [(STREAM, OrderPaid(amount="75.00", reference="card"))]


def test_a_payment_of_another_amount_is_refused_for_the_state_once_it_is_paid() -> None:
    assert isinstance(given(PAY).refuses(pay("1")), OrderNotPayable)


def pieces(*counts: tuple[int, int]) -> tuple[LinePieces, ...]:
    return tuple(LinePieces(line=line, quantity=quantity) for line, quantity in counts)


def order_lines(event: Event) -> Any:
    assert isinstance(event, OrderItemsShipped | OrderItemsReturned | RemainingItemsCancelled)
    return event.lines


@pytest.mark.parametrize(
    ("command", "filled"),
    [
        (ship((TEA, 1)), ((0, 1),)),
        (ship((TEA, 2)), ((0, 2),)),
        (ship((TEA, 3)), ((0, 2), (2, 1))),
        (ship((TEA, 6), (CUP, 3)), ((0, 2), (1, 3), (2, 4))),
        # A product that is named several times takes as much as one named once with the sum.
        (ship((TEA, 1), (CUP, 1), (TEA, 2)), ((0, 2), (1, 1), (2, 1))),
        (ship(), ((0, 2), (1, 3), (2, 4))),
    ],
)
def test_the_lines_of_a_product_are_filled_in_their_order(command: Command, filled: Any) -> None:
    assert order_lines(given(PAY).order_event(command)) == pieces(*filled)


def test_filling_goes_on_where_it_stopped_for_shipping_returning_and_cancelling() -> None:
    order = given(PAY, ship((TEA, 1)))
    assert order_lines(order.order_event(ship((TEA, 2)))) == pieces((0, 1), (2, 1))
    order.do(ship((TEA, 2)))
    assert order_lines(order.order_event(take_back((TEA, 3)))) == pieces((0, 2), (2, 1))
    order.do(take_back((TEA, 1)))
    assert order_lines(order.order_event(take_back((TEA, 2)))) == pieces((0, 1), (2, 1))
    assert order_lines(order.order_event(cancel())) == pieces((1, 3), (2, 3))


@pytest.mark.parametrize("too_much", [ship((TEA, 7)), ship((TEA, 6), (TEA, 1)), ship((CUP, 1), (POT, 1))])
def test_no_more_than_is_left_can_be_shipped(too_much: Command) -> None:
    assert isinstance(given(PAY).refuses(too_much), OrderNotShippable)


@pytest.mark.parametrize("too_much", [take_back((TEA, 4)), take_back((TEA, 3), (TEA, 1)), take_back((CUP, 1))])
def test_no_more_than_was_shipped_can_be_returned_each_piece_once(too_much: Command) -> None:
    order = given(PAY, ship((TEA, 3)))
    assert isinstance(order.refuses(too_much), OrderNotReturnable)
    assert isinstance(order.do(take_back((TEA, 2))).refuses(take_back((TEA, 2))), OrderNotReturnable)


def test_shipping_takes_from_the_shelf_and_from_what_is_reserved() -> None:
    assert given(PAY).when(ship((TEA, 3), (CUP, 1)))[1:] == [
        (inventory_stream(TEA), ReservedItemsShipped(available=4, order_id=ORDER_ID, quantity=3)),
        (inventory_stream(CUP), ReservedItemsShipped(available=7, order_id=ORDER_ID, quantity=1)),
    ]


@pytest.mark.parametrize(("state", "command"), [("placed", cancel()), ("paid", cancel()), ("placed", EXPIRE)])
def test_what_a_cancelled_order_had_reserved_is_free_again(state: str, command: Command) -> None:
    order = STATES[state][0]()
    assert order.when(command)[1:] == [
        (inventory_stream(TEA), ReservationReleased(available=10, order_id=ORDER_ID, quantity=6)),
        (inventory_stream(CUP), ReservationReleased(available=10, order_id=ORDER_ID, quantity=3)),
    ]


def test_cancelling_the_rest_frees_only_the_rest() -> None:
    assert given(PAY, ship((TEA, 3))).when(cancel("too late"))[1:] == [
        (inventory_stream(CUP), ReservationReleased(available=10, order_id=ORDER_ID, quantity=3)),
        (inventory_stream(TEA), ReservationReleased(available=7, order_id=ORDER_ID, quantity=3)),
    ]


def test_returned_items_are_on_the_shelf_again_unless_they_are_written_off() -> None:
    order = given(PAY, ship())
    assert order.when(take_back((TEA, 2)))[1:] == [
        (inventory_stream(TEA), ItemsRestocked(available=6, order_id=ORDER_ID, quantity=2))
    ]
    [(stream, event)] = order.when(take_back((TEA, 2), restock=False))
    assert (stream, event) == (
        STREAM,
        OrderItemsReturned(lines=pieces((0, 2)), restocked=False, refund="20.00"),
    )


def test_after_a_shortage_what_is_on_the_shelf_can_be_shipped_and_the_rest_when_it_is_there() -> None:
    order = given(PAY)
    order.happened(inventory_stream(TEA), StockRecounted(available=0, counted_quantity=4, previous_quantity=10))
    refusal = order.refuses(ship())
    assert isinstance(refusal, InsufficientStock)
    assert refusal.members["lines"] == [{"product_id": TEA, "requested": 6, "available": 4}]
    order.do(ship((TEA, 4)))
    assert isinstance(order.refuses(ship((TEA, 1))), InsufficientStock)
    # More than is left is refused for what the order says, whatever the shelf holds.
    assert isinstance(order.refuses(ship((TEA, 3))), OrderNotShippable)
    order.happened(inventory_stream(TEA), StockRecounted(available=0, counted_quantity=2, previous_quantity=0))
    assert type(order.do(ship()).order) is Shipped


def test_the_same_order_with_everything_against_it_is_refused_for_its_state_first() -> None:
    order = given()
    order.happened(inventory_stream(TEA), StockRecounted(available=0, counted_quantity=0, previous_quantity=10))
    assert isinstance(order.refuses(ship((TEA, 100))), OrderNotShippable)
