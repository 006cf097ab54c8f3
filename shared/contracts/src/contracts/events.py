"""The events of the shop, as they are stored and published.

Each is immutable and in the past tense. A type's `schema_version` rises when its data changes incompatibly; `parse`
upcasts older data. Fields that are not known are ignored, so that a newer writer does not stop an older reader.
"""

from collections.abc import Callable
from typing import Any, ClassVar, Final

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


class StockAdded(Event):
    quantity: int
    reason: str | None = None


class StockRecounted(Event):
    """`counted_quantity` pieces are on the shelf, whatever was believed before. `previous_quantity` was believed."""

    counted_quantity: int
    previous_quantity: int
    reason: str | None = None


class ItemsShipped(Event):
    """Pieces left the shelf without an order of this shop."""

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


ProductEvent = ProductAdded | ProductDetailsUpdated | PriceChanged | ProductDiscontinued | ProductRelisted
InventoryEvent = InventoryOpened | StockAdded | StockRecounted | ItemsShipped
RatingEvent = ProductRated | RatingWithdrawn
AnyEvent = ProductEvent | InventoryEvent | RatingEvent

EVENT_TYPES: Final[dict[str, type[Event]]] = {
    cls.__name__: cls
    for cls in (
        ProductAdded,
        ProductDetailsUpdated,
        PriceChanged,
        ProductDiscontinued,
        ProductRelisted,
        InventoryOpened,
        StockAdded,
        StockRecounted,
        ItemsShipped,
        ProductRated,
        RatingWithdrawn,
    )
}

Upcast = Callable[[dict[str, Any]], dict[str, Any]]

UPCASTS: Final[dict[tuple[str, int], Upcast]] = {}
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
