"""`ProductDisplay`: a product as customers see it, from its own events, its inventory's and its ratings'."""

from typing import Final, assert_never

from contracts.documents import ProductDisplay
from contracts.envelope import RecordedEvent
from contracts.events import (
    InventoryEvent,
    InventoryOpened,
    ItemsShipped,
    PriceChanged,
    ProductAdded,
    ProductDetailsUpdated,
    ProductDiscontinued,
    ProductEvent,
    ProductRated,
    ProductRelisted,
    RatingEvent,
    RatingWithdrawn,
    StockAdded,
    StockChanged,
    StockRecounted,
)
from projector.projections.changing import changing

Handled = ProductEvent | InventoryEvent | RatingEvent

_change: Final = changing(ProductDisplay)
_WEIGHTS: Final = (("1", 1), ("2", 2), ("3", 3), ("4", 4), ("5", 5))


def project(document: ProductDisplay | None, event: Handled, recorded: RecordedEvent) -> ProductDisplay:
    """The product after `event`. `version`, `created_at` and `updated_at` belong to the product's own stream."""
    product = document or ProductDisplay(recorded.partition_key)
    match event:
        case InventoryOpened():
            return _stocked(product, event.quantity)
        case ProductRated():
            return _rated(product, event.replaces, event.rating)
        case RatingWithdrawn():
            return _rated(product, event.rating, None)
        case StockChanged():
            return _stocked(
                product, _before_reservations(product, event) if event.available is None else event.available
            )
        case _:
            return _changed(product, event, recorded)


def is_hidden(document: ProductDisplay) -> bool:
    """Until `ProductAdded` has come, which is the first event of the product's stream."""
    return document.version == 0


def _changed(product: ProductDisplay, event: ProductEvent, recorded: RecordedEvent) -> ProductDisplay:
    updated_at, version = max(product.updated_at, recorded.time), recorded.version
    match event:
        case PriceChanged():
            return _change(product, price=event.price, updated_at=updated_at, version=version)
        case ProductAdded():
            return _change(
                product,
                sku=event.sku,
                name=event.name,
                description=event.description,
                category=event.category,
                price=event.price,
                currency=event.currency,
                created_at=recorded.time,
                updated_at=updated_at,
                version=version,
            )
        case ProductDetailsUpdated():
            return _change(
                product,
                name=event.name,
                description=event.description,
                category=event.category,
                updated_at=updated_at,
                version=version,
            )
        case ProductDiscontinued():
            return _change(product, is_discontinued=True, updated_at=updated_at, version=version)
        case ProductRelisted():
            return _change(product, is_discontinued=False, updated_at=updated_at, version=version)
        case _:
            assert_never(event)


def _stocked(product: ProductDisplay, available: int) -> ProductDisplay:
    return _change(product, available=available, is_out_of_stock=available == 0)


def _before_reservations(product: ProductDisplay, event: StockChanged) -> int:
    """What is available after an event that was written before there were reservations, and so does not say it."""
    match event:
        case StockAdded():
            return product.available + event.quantity
        case ItemsShipped():
            return product.available - event.quantity
        case StockRecounted():
            return event.counted_quantity
        case _:
            raise ValueError(f"{event.type} does not say what is available")


def _rated(product: ProductDisplay, counted_before: int | None, counts_now: int | None) -> ProductDisplay:
    histogram = product.rating_histogram.copy()
    if counted_before is not None:
        histogram[str(counted_before)] -= 1
    if counts_now is not None:
        histogram[str(counts_now)] += 1
    count = sum(histogram.values())
    return _change(product, user_rating=average(histogram, count), rating_count=count, rating_histogram=histogram)


def average(histogram: dict[str, int], count: int) -> float | None:
    """The mean of `count` ratings to 2 decimals, rounded half up; None of none."""
    if count == 0:
        return None
    total = sum(weight * histogram[stars] for stars, weight in _WEIGHTS)
    return (200 * total + count) // (2 * count) / 100
