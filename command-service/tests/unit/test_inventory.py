"""The inventory's rules: nothing is oversold, and the shelf is the truth."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from command_service.decider import Command, Rejection
from command_service.inventory.domain.add_to_inventory import AddToInventory
from command_service.inventory.domain.confirm_items_shipped import ConfirmItemsShipped
from command_service.inventory.domain.recount import UpdateStockFromInventoryRecount
from command_service.problems import InsufficientStock, ProductNotFound
from contracts.events import Event, InventoryOpened, ItemsShipped, StockAdded, StockRecounted

from .support import PRODUCT, Given

STREAM = f"inventory-{PRODUCT}"


def add(quantity: int, reason: str | None = None) -> Command:
    return AddToInventory(product_id=PRODUCT, quantity=quantity, reason=reason)


def recount(counted: int) -> Command:
    return UpdateStockFromInventoryRecount(product_id=PRODUCT, counted_quantity=counted)


def ship(quantity: int) -> Command:
    return ConfirmItemsShipped(product_id=PRODUCT, quantity=quantity)


def on_hand(*events: Event) -> Given:
    return Given({STREAM: [InventoryOpened(quantity=5), *events]})


def test_what_comes_in_is_recorded_with_its_reason() -> None:
    assert on_hand().when(add(3, "delivery")) == [(STREAM, StockAdded(available=8, quantity=3, reason="delivery"))]


@pytest.mark.parametrize("counted", [0, 5, 9])
def test_a_recount_is_always_recorded_with_what_was_believed(counted: int) -> None:
    assert on_hand().when(recount(counted)) == [
        (STREAM, StockRecounted(available=counted, counted_quantity=counted, previous_quantity=5))
    ]


def test_the_last_piece_can_be_shipped_and_not_one_more() -> None:
    assert on_hand().when(ship(5)) == [(STREAM, ItemsShipped(available=0, quantity=5))]
    refusal = on_hand().refuses(ship(6))
    assert isinstance(refusal, InsufficientStock)
    assert refusal.members == {"lines": [{"product_id": PRODUCT, "requested": 6, "available": 5}]}
    assert isinstance(on_hand(ItemsShipped(available=0, quantity=5)).refuses(ship(1)), InsufficientStock)


def test_after_a_recount_the_shelf_is_the_truth() -> None:
    assert isinstance(
        on_hand(StockRecounted(available=1, counted_quantity=1, previous_quantity=5)).refuses(ship(2)), Rejection
    )
    assert on_hand(StockRecounted(available=9, counted_quantity=9, previous_quantity=5)).when(ship(9))


@pytest.mark.parametrize("command", [add(1), recount(0), ship(1)])
def test_what_was_never_added_has_no_inventory(command: Command) -> None:
    assert isinstance(Given().refuses(command), ProductNotFound)


_amounts = st.integers(1, 20)
_commands = st.one_of(st.builds(add, _amounts), st.builds(recount, st.integers(0, 20)), st.builds(ship, _amounts))


@given(st.integers(0, 20), st.lists(_commands, max_size=40))
def test_whatever_happens_stock_is_what_a_shelf_would_hold_and_never_negative(
    opened: int, commands: Sequence[Command]
) -> None:
    history: list[Event] = [InventoryOpened(quantity=opened)]
    shelf = opened
    for command in commands:
        try:
            [(_, event)] = Given({STREAM: history}).when(command)
        except InsufficientStock as refusal:
            assert isinstance(command, ConfirmItemsShipped)
            assert refusal.members["lines"][0]["available"] == shelf < command.quantity
            continue
        match command:
            case AddToInventory():
                shelf += command.quantity
            case UpdateStockFromInventoryRecount():
                assert isinstance(event, StockRecounted)
                assert event.previous_quantity == shelf
                shelf = command.counted_quantity
            case ConfirmItemsShipped():
                shelf -= command.quantity
        history.append(event)
        assert shelf >= 0
