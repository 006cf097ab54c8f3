"""An order is not wanted any more, as far as it was not shipped yet."""

from typing import assert_never

from command_service.decider import Aggregate, Command, Decision, States, UseCase
from command_service.fields import Reason, Uuid
from command_service.problems import OrderNotCancellable
from contracts.events import OrderCancelled, OrderEvent, RemainingItemsCancelled

from .filling import all_left
from .on_order import on_order
from .order import (
    Cancelled,
    Order,
    Paid,
    PartiallyReturned,
    PartiallyShipped,
    Placed,
    Returned,
    Shipped,
    order,
    pieces_by_product,
    refund_of,
    with_pieces,
)
from .stock import Shelves


class CancelOrder(Command):
    """Cancels the order; of one that was shipped in part, what is left. The reserved stock is free again."""

    order_id: Uuid
    reason: Reason | None = None


def decide(command: CancelOrder, current: Order, states: States, shelves: Shelves) -> Decision:
    cancelled: OrderEvent
    match current:
        case Cancelled():
            return []
        case Shipped() | PartiallyReturned() | Returned():
            raise OrderNotCancellable("The order was shipped whole.")
        case Placed():
            cancelled = OrderCancelled(reason=command.reason, refund="0.00")
        case Paid():
            cancelled = OrderCancelled(reason=command.reason, refund=current.payment.amount)
        case PartiallyShipped():
            rest = tuple(all_left(current.lines))
            after = with_pieces(current.lines, rest, "cancelled")
            cancelled = RemainingItemsCancelled(lines=rest, reason=command.reason, refund=refund_of(current, after))
        case _:
            assert_never(current)
    freed = pieces_by_product(current.lines, all_left(current.lines))
    return [(order(command.order_id), cancelled), *shelves.release(states, command.order_id, freed)]


def use_case(inventories: Aggregate[object]) -> UseCase[CancelOrder]:
    return on_order(CancelOrder, decide, inventories)
