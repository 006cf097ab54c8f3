"""Pieces left the shelf without an order of this shop."""

from collections.abc import Iterable

from command_service.decider import Command, on_stream
from command_service.fields import Pieces, Uuid
from command_service.problems import InsufficientStock
from contracts.events import ItemsShipped

from .inventory import InventoryState, existing, inventory


class ConfirmItemsShipped(Command):
    """`quantity` pieces are gone. Takes only what is available: nothing is oversold."""

    product_id: Uuid
    quantity: Pieces


def decide(command: ConfirmItemsShipped, state: InventoryState) -> Iterable[ItemsShipped]:
    current = existing(state, command.product_id)
    if command.quantity > current.available:
        raise InsufficientStock([(command.product_id, command.quantity, current.available)])
    after = current.change(on_hand=-command.quantity)
    yield ItemsShipped(available=after.available, quantity=command.quantity)


USE_CASE = on_stream(ConfirmItemsShipped, lambda command: inventory(command.product_id), decide)
