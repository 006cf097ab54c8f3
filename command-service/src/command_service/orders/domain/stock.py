"""What orders do to the stock of their products. How stock is folded is the inventory's business, and passed in."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

from command_service.decider import Aggregate, Decision, States, Stream
from command_service.problems import InsufficientStock, ProductNotFound
from contracts.events import (
    InventoryEvent,
    ItemsRestocked,
    ReservationReleased,
    ReservedItemsShipped,
    StockReserved,
)
from contracts.streams import inventory_stream


class Stock(Protocol):
    """The stock of one product, in pieces, as orders see it."""

    @property
    def on_hand(self) -> int: ...

    @property
    def available(self) -> int: ...

    def change(self, *, on_hand: int = 0, reserved: int = 0) -> "Stock": ...


Pieces = Mapping[str, int]
"""Product id → how many."""


@dataclass(frozen=True, slots=True)
class Shelves:
    """The inventories that an order's products lie in. Each method gives one event a product."""

    inventories: Aggregate[object]

    def streams(self, product_ids: Sequence[str]) -> Sequence[Stream[object]]:
        return [self._stream(product_id) for product_id in product_ids]

    def reserve(self, states: States, order_id: str, pieces: Pieces) -> Decision:
        """All of them, or the refusal that names each product of which too little is available."""
        self._enough(states, pieces, lambda stock: stock.available)
        return self._each(
            states,
            pieces,
            lambda stock, n: StockReserved(available=stock.change(reserved=n).available, order_id=order_id, quantity=n),
        )

    def release(self, states: States, order_id: str, pieces: Pieces) -> Decision:
        return self._each(
            states,
            pieces,
            lambda stock, n: ReservationReleased(
                available=stock.change(reserved=-n).available, order_id=order_id, quantity=n
            ),
        )

    def ship(self, states: States, order_id: str, pieces: Pieces) -> Decision:
        """Reserved pieces leave the shelf; refused where a recount has found that they are not on it."""
        self._enough(states, pieces, lambda stock: stock.on_hand)
        return self._each(
            states,
            pieces,
            lambda stock, n: ReservedItemsShipped(
                available=stock.change(on_hand=-n, reserved=-n).available, order_id=order_id, quantity=n
            ),
        )

    def restock(self, states: States, order_id: str, pieces: Pieces) -> Decision:
        return self._each(
            states,
            pieces,
            lambda stock, n: ItemsRestocked(available=stock.change(on_hand=n).available, order_id=order_id, quantity=n),
        )

    def _stream(self, product_id: str) -> Stream[object]:
        return Stream(inventory_stream(product_id), self.inventories)

    def _stock(self, states: States, product_id: str) -> Stock:
        state = states.of(self._stream(product_id))
        if state is None:
            raise ProductNotFound(product_id)
        return cast(Stock, state)

    def _enough(self, states: States, pieces: Pieces, there: Callable[[Stock], int]) -> None:
        counted = [(p, n, max(0, there(self._stock(states, p)))) for p, n in pieces.items()]
        short = [(p, n, have) for p, n, have in counted if n > have]
        if short:
            raise InsufficientStock(short)

    def _each(self, states: States, pieces: Pieces, event: Callable[[Stock, int], InventoryEvent]) -> Decision:
        return [(self._stream(p), event(self._stock(states, p), n)) for p, n in pieces.items() if n]
