"""The events of the shop, as they are stored and published.

Each is immutable and in the past tense. A type's `schema_version` rises when its data changes incompatibly; `parse`
upcasts older data. Fields that are not known are ignored, so that a newer writer does not stop an older reader.
"""

from collections.abc import Callable
from typing import Any, ClassVar, Final, get_args

from pydantic import BaseModel, ConfigDict, ValidationError


class UnreadableEvent(Exception):
    """The event's type or schema version is not known here, or its data does not fit it."""


class Event(BaseModel):
    """Something that has happened. `type` is the class's name."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    schema_version: ClassVar[int] = 1

    @property
    def type(self) -> str:
        return type(self).__name__


class ProductAdded(Event):
    name: str
    description: str | None
    price: str
    currency: str
    sku: str | None
    category: str | None


class ProductDetailsUpdated(Event):
    """All three details as they are from now on, changed or not."""

    name: str
    description: str | None
    category: str | None


class PriceChanged(Event):
    price: str
    previous_price: str


class ProductDiscontinued(Event):
    pass


class ProductRelisted(Event):
    pass


class InventoryOpened(Event):
    """The first event of every inventory: a product came into the shop with so many pieces."""

    quantity: int


class StockChanged(Event):
    """What the events of an inventory behind its first have in common.

    `available` is what can be sold from now on. Null in events from before there were reservations (schema version 1):
    then it changed by as much as what is on the shelf.
    """

    available: int | None


class StockAdded(StockChanged):
    schema_version: ClassVar[int] = 2
    quantity: int
    reason: str | None = None


class StockRecounted(StockChanged):
    """`counted_quantity` pieces are on the shelf, whatever was believed before. `previous_quantity` was believed.

    `shortage` is how many reserved pieces are not on the shelf.
    """

    schema_version: ClassVar[int] = 2
    counted_quantity: int
    previous_quantity: int
    shortage: int = 0
    reason: str | None = None


class ItemsShipped(StockChanged):
    """Pieces left the shelf without an order of this shop."""

    schema_version: ClassVar[int] = 2
    quantity: int


class StockReserved(StockChanged):
    """An order has so many pieces to itself; they are still on the shelf."""

    order_id: str
    quantity: int


class ReservationReleased(StockChanged):
    """An order does not need these reserved pieces any more."""

    order_id: str
    quantity: int


class ReservedItemsShipped(StockChanged):
    """Reserved pieces left the shelf, for their order."""

    order_id: str
    quantity: int


class ItemsRestocked(StockChanged):
    """Pieces of an order came back and are on the shelf again."""

    order_id: str
    quantity: int


class ProductRated(Event):
    """`replaces` is the same user's earlier rating, or null."""

    user_id: str
    rating: int
    replaces: int | None = None


class RatingWithdrawn(Event):
    """`rating` is the one that counts no more."""

    user_id: str
    rating: int


class OrderLine(BaseModel):
    """One line as it was when the order was placed; its place in the order is its number, from 0."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    product_id: str
    name: str
    quantity: int
    unit_price: str


class LinePieces(BaseModel):
    """Pieces of the order's line number `line`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    line: int
    quantity: int


class OrderPlaced(Event):
    """The first event of every order. Its stock is reserved in the same commit.

    It expires unless it is paid within `payment_seconds` from when it was recorded; null: it never does.
    """

    customer_id: str
    lines: tuple[OrderLine, ...]
    total: str
    currency: str
    payment_seconds: int | None


class OrderPaid(Event):
    amount: str
    reference: str


class OrderItemsShipped(Event):
    lines: tuple[LinePieces, ...]


class OrderCancelled(Event):
    """The whole order, before any of it was shipped. `refund` is what had been paid."""

    reason: str | None
    refund: str


class RemainingItemsCancelled(Event):
    """What had not been shipped yet of an order that was shipped in part: `lines`, and the money for them."""

    lines: tuple[LinePieces, ...]
    reason: str | None
    refund: str


class OrderExpired(Event):
    """It was not paid by its deadline."""


class OrderItemsReturned(Event):
    """Shipped pieces came back. `restocked`: they are on the shelf again; else they were written off."""

    lines: tuple[LinePieces, ...]
    restocked: bool
    refund: str


class StockRanOut(Event):
    """A product's available pieces went from some to none, by version `inventory_version` of its inventory."""

    available: int
    inventory_version: int


class StockRanLow(Event):
    """A product's available pieces went from above `threshold` to it or below."""

    available: int
    threshold: int
    inventory_version: int


ProductEvent = ProductAdded | ProductDetailsUpdated | PriceChanged | ProductDiscontinued | ProductRelisted
InventoryEvent = (
    InventoryOpened
    | StockAdded
    | StockRecounted
    | ItemsShipped
    | StockReserved
    | ReservationReleased
    | ReservedItemsShipped
    | ItemsRestocked
)
RatingEvent = ProductRated | RatingWithdrawn
OrderEvent = (
    OrderPlaced
    | OrderPaid
    | OrderItemsShipped
    | OrderCancelled
    | RemainingItemsCancelled
    | OrderExpired
    | OrderItemsReturned
)
StockAlertEvent = StockRanOut | StockRanLow
AnyEvent = ProductEvent | InventoryEvent | RatingEvent | OrderEvent | StockAlertEvent

EVENT_TYPES: Final[dict[str, type[Event]]] = {cls.__name__: cls for cls in get_args(AnyEvent)}

Upcast = Callable[[dict[str, Any]], dict[str, Any]]


def _without_reservations(data: dict[str, Any]) -> dict[str, Any]:
    """When version 1 was written, there were no reservations: what is available followed from what is on the shelf."""
    return {**data, "available": None}


UPCASTS: Final[dict[tuple[str, int], Upcast]] = {
    ("StockAdded", 1): _without_reservations,
    ("StockRecounted", 1): _without_reservations,
    ("ItemsShipped", 1): _without_reservations,
}
"""From (type, schema version) to a function that lifts its data to the next schema version."""


def parse(event_type: str, schema_version: int, data: dict[str, Any]) -> Event:
    """The event in its newest form.

    Raises:
        UnreadableEvent: the type is unknown, the schema is newer than this code, or the data does not fit.
    """
    cls = EVENT_TYPES.get(event_type)
    if cls is None:
        raise UnreadableEvent(f"unknown event type {event_type!r}")
    while schema_version < cls.schema_version:
        upcast = UPCASTS.get((event_type, schema_version))
        if upcast is None:
            raise UnreadableEvent(f"no upcast from schema version {schema_version} of {event_type}")
        data, schema_version = upcast(data), schema_version + 1
    if schema_version > cls.schema_version:
        raise UnreadableEvent(f"{event_type} has schema version {schema_version}, known is {cls.schema_version}")
    try:
        return cls.model_validate(data)
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, e["loc"])) or "data" for e in error.errors(include_url=False))
        raise UnreadableEvent(f"{event_type} does not fit its schema: {fields}") from None
