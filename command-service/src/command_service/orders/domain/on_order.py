"""What the commands about an order that is there have in common: they may change the stock of its products."""

from collections.abc import Callable
from typing import TypeVar

from command_service.decider import Aggregate, Command, Decision, States, UseCase

from .order import Order, existing, order, products_of
from .stock import Shelves

C = TypeVar("C", bound=Command)

Decide = Callable[[C, Order, States, Shelves], Decision]


def on_order(command: type[C], decide: Decide[C], inventories: Aggregate[object]) -> UseCase[C]:
    """A use case whose decision needs the order and the stock of its products; refused when there is no such order."""
    shelves = Shelves(inventories)

    def decide_on_order(issued: C, states: States) -> Decision:
        order_id = _order_id(issued)
        return decide(issued, existing(states.of(order(order_id)), order_id), states, shelves)

    return UseCase(
        command,
        target=lambda issued: order(_order_id(issued)),
        follows=lambda issued, state: shelves.streams(products_of(state)),
        decide=decide_on_order,
    )


def _order_id(command: Command) -> str:
    order_id: str = command.order_id  # type: ignore[attr-defined]
    return order_id
