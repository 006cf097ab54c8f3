"""Every view of the read model, and which events each is made from. A new view or event is wired here.

The events that a view takes are its `Handled` union, which its `project` matches to the last: there is no second list.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar, get_args

from contracts import streams
from contracts.documents import Document, OrderDetails, ProductDisplay, ProductInventory, UserRating
from contracts.envelope import RecordedEvent
from contracts.events import (
    EVENT_TYPES,
    Event,
    InventoryEvent,
    OrderEvent,
    ProductEvent,
    RatingEvent,
    StockAlertEvent,
)
from contracts.keys import Generation
from projector.projections import indexing, inventory, order, product, rating
from projector.projections.indexing import Facet
from projector.projections.order_summary import summarise
from projector.projections.tallies import Tally, tally

D = TypeVar("D", bound=Document)


@dataclass(frozen=True, slots=True)
class Excerpt(Generic[D]):
    """A document that says part of what another does: made from that one alone, and written with it."""

    key: Callable[[Generation, str], str]
    """From partition key to the excerpt's key."""
    make: Callable[[D], Document]


@dataclass(frozen=True, slots=True)
class View(Generic[D]):
    """One kind of document: where it is kept, how an event changes it, what it is found by."""

    document: type[D]
    handled: tuple[type[Event], ...]
    key: Callable[[Generation, str, Any], str]
    """From partition key and event to the document's key."""
    project: Callable[[D | None, Any, RecordedEvent], D]
    is_hidden: Callable[[D], bool]
    facets: tuple[Facet[D], ...] = ()
    excerpts: tuple[Excerpt[D], ...] = ()
    tally: Callable[[Generation, D, Any, RecordedEvent], Tally] | None = None
    """What an event adds to sums over many documents, from the document that it led to."""


VIEWS: Final[tuple[View[Any], ...]] = (
    View(
        ProductDisplay,
        get_args(product.Handled),
        lambda generation, partition_key, _event: generation.product(partition_key),
        product.project,
        product.is_hidden,
        indexing.PRODUCT_FACETS,
    ),
    View(
        ProductInventory,
        get_args(inventory.Handled),
        lambda generation, partition_key, _event: generation.inventory(partition_key),
        inventory.project,
        inventory.is_hidden,
        indexing.INVENTORY_FACETS,
    ),
    View(
        UserRating,
        get_args(rating.Handled),
        lambda generation, partition_key, event: generation.rating(partition_key, event.user_id),
        rating.project,
        rating.is_hidden,
    ),
    View(
        OrderDetails,
        get_args(order.Handled),
        lambda generation, partition_key, _event: generation.order(partition_key),
        order.project,
        order.is_hidden,
        indexing.ORDER_FACETS,
        (Excerpt(Generation.order_summary, summarise),),
        tally,
    ),
)

_STREAMS: Final[tuple[tuple[Any, Callable[[str, Any], str]], ...]] = (
    (ProductEvent, lambda partition_key, _event: streams.product_stream(partition_key)),
    (InventoryEvent, lambda partition_key, _event: streams.inventory_stream(partition_key)),
    (RatingEvent, lambda partition_key, event: streams.rating_stream(partition_key, event.user_id)),
    (OrderEvent, lambda partition_key, _event: streams.order_stream(partition_key)),
    (StockAlertEvent, lambda partition_key, _event: streams.stock_alert_stream(partition_key)),
)

VIEWS_OF: Final[dict[type[Event], tuple[View[Any], ...]]] = {
    event: tuple(view for view in VIEWS if event in view.handled) for event in EVENT_TYPES.values()
}
"""Which views an event type changes; none where the journal alone keeps it."""

STREAM_OF: Final[dict[type[Event], Callable[[str, Any], str]]] = {
    event: name for union, name in _STREAMS for event in get_args(union)
}
"""The one stream in which an event may stand, from its partition key."""
