"""Items of an order left the house."""

from command_service.decider import Aggregate, Command, Decision, States, UseCase
from command_service.fields import Uuid
from command_service.problems import OrderNotShippable
from contracts.events import OrderItemsShipped

from .filling import ProductLines, all_left, fill
from .on_order import on_order
from .order import Order, Paid, PartiallyShipped, order, pieces_by_product
from .stock import Shelves


class ShipOrder(Command):
    """`lines` were shipped, or all that was left when they are absent."""

    order_id: Uuid
    lines: ProductLines | None = None


def decide(command: ShipOrder, current: Order, states: States, shelves: Shelves) -> Decision:
    if not isinstance(current, Paid | PartiallyShipped):
        raise OrderNotShippable(f"The order is {current.kind.replace('_', ' ')}.")
    if command.lines is None:
        shipped = all_left(current.lines)
    else:
        filled = fill(current.lines, command.lines, lambda line: line.left)
        if isinstance(filled, str):
            raise OrderNotShippable(f"More of product {filled} is to be shipped than the order has left.")
        shipped = filled
    pieces = pieces_by_product(current.lines, shipped)
    return [
        (order(command.order_id), OrderItemsShipped(lines=tuple(shipped))),
        *shelves.ship(states, command.order_id, pieces),
    ]


def use_case(inventories: Aggregate[object]) -> UseCase[ShipOrder]:
    return on_order(ShipOrder, decide, inventories)
