"""Given a document and an event, then a document."""

from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import events
from contracts.documents import ProductDisplay, ProductInventory, UserRating
from contracts.envelope import Metadata, RecordedEvent
from projector.projections import inventory, product, rating
from projector.projections.changing import changing
from projector.projections.views import STREAM_OF, VIEWS_OF

ID = "00000000-0000-0000-0000-000000000001"
ADDED = events.ProductAdded(name="Chai", description="Tea", price="18.00", currency="EUR", sku="S-1", category="Drinks")
T1, T2 = "2026-11-21T10:00:00.000000Z", "2026-11-21T11:00:00.000000Z"


def recorded(event: events.Event, version: int = 1, time: str = T1) -> RecordedEvent:
    metadata = Metadata("Test", "c", "c", "c")
    return RecordedEvent(1, "s", version, ID, event.type, 1, event.model_dump(), time, time, metadata)


def shown(document: ProductDisplay | None, event: Any, version: int = 1, time: str = T1) -> ProductDisplay:
    return product.project(document, event, recorded(event, version, time))


def stocked(document: ProductInventory | None, event: Any, version: int = 1) -> ProductInventory:
    return inventory.project(document, event, recorded(event, version))


def test_an_added_product_shows_what_it_was_added_with() -> None:
    assert shown(None, ADDED) == ProductDisplay(
        ID, "S-1", "Chai", "Tea", "Drinks", "18.00", "EUR", created_at=T1, updated_at=T1, version=1
    )


def test_version_and_updated_at_move_with_the_products_own_stream_only() -> None:
    before = shown(None, ADDED)
    after = shown(before, events.StockAdded(quantity=3, available=3), version=9, time=T2)
    assert (after.version, after.updated_at, after.available) == (1, T1, 3)


def test_updated_at_never_goes_back_when_something_is_told_afterwards() -> None:
    before = shown(None, ADDED, time=T2)
    after = shown(before, events.PriceChanged(price="19.00", previous_price="18.00"), version=2, time=T1)
    assert (after.price, after.version, after.updated_at) == ("19.00", 2, T2)


def test_details_are_replaced_as_a_whole() -> None:
    after = shown(shown(None, ADDED), events.ProductDetailsUpdated(name="Tea", description=None, category=None), 2)
    assert (after.name, after.description, after.category, after.price) == ("Tea", None, None, "18.00")


def test_a_product_is_discontinued_and_relisted() -> None:
    gone = shown(shown(None, ADDED), events.ProductDiscontinued(), 2)
    assert gone.is_discontinued
    assert not shown(gone, events.ProductRelisted(), 3).is_discontinued


@pytest.mark.parametrize(
    ("event", "available"),
    [
        (events.StockAdded(quantity=4, available=14), 14),
        (events.ItemsShipped(quantity=10, available=0), 0),
        (events.StockRecounted(counted_quantity=7, previous_quantity=10, available=7), 7),
        # From before there were reservations:
        (events.StockAdded(quantity=4, available=None), 14),
        (events.ItemsShipped(quantity=10, available=None), 0),
        (events.StockRecounted(counted_quantity=7, previous_quantity=10, available=None), 7),
        (events.ItemsRestocked(order_id="o", quantity=2, available=12), 12),
    ],
)
def test_stock_is_shown_to_customers_and_to_the_warehouse(event: events.Event, available: int) -> None:
    display = shown(ProductDisplay(ID, available=10, is_out_of_stock=False), event)
    stock = stocked(ProductInventory(ID, current_stock=10, available=10), event, version=7)
    assert (display.available, display.is_out_of_stock) == (available, available == 0)
    assert (stock.current_stock, stock.available, stock.version) == (available, available, 7)


def test_reserved_pieces_are_on_the_shelf_but_not_for_sale_until_they_are_shipped_or_released() -> None:
    opened = stocked(None, events.InventoryOpened(quantity=10))
    reserved = stocked(opened, events.StockReserved(order_id="o", quantity=6, available=4))
    assert (reserved.current_stock, reserved.reserved, reserved.available) == (10, 6, 4)
    shipped = stocked(reserved, events.ReservedItemsShipped(order_id="o", quantity=4, available=4))
    assert (shipped.current_stock, shipped.reserved, shipped.available) == (6, 2, 4)
    released = stocked(shipped, events.ReservationReleased(order_id="o", quantity=2, available=6))
    assert (released.current_stock, released.reserved, released.available) == (6, 0, 6)
    assert shown(None, events.StockReserved(order_id="o", quantity=6, available=4)).available == 4


def test_stock_below_what_is_reserved_is_a_shortage() -> None:
    event = events.StockRecounted(counted_quantity=2, previous_quantity=10, available=0)
    after = stocked(ProductInventory(ID, current_stock=10, reserved=5, available=5), event)
    assert (after.current_stock, after.available, after.shortage) == (2, 0, 3)


def test_an_inventory_takes_name_and_sku_from_the_product_whenever_that_comes() -> None:
    opened = events.InventoryOpened(quantity=1)
    early = stocked(stocked(None, opened), ADDED)
    late = stocked(stocked(None, ADDED), opened)
    assert early == late == ProductInventory(ID, "Chai", "S-1", 1, available=1, version=1)


def test_documents_without_their_defining_event_are_hidden() -> None:
    assert product.is_hidden(shown(None, events.StockAdded(quantity=1, available=1)))
    assert inventory.is_hidden(stocked(None, ADDED))
    assert not product.is_hidden(shown(None, ADDED))
    assert not inventory.is_hidden(stocked(None, events.InventoryOpened(quantity=0)))


def test_a_users_new_rating_replaces_the_old() -> None:
    once = shown(None, events.ProductRated(user_id="u", rating=5))
    twice = shown(once, events.ProductRated(user_id="u", rating=2, replaces=5))
    assert (twice.rating_count, twice.user_rating) == (1, 2.0)
    assert twice.rating_histogram == {"1": 0, "2": 1, "3": 0, "4": 0, "5": 0}


def test_the_last_withdrawn_rating_leaves_no_average() -> None:
    once = shown(None, events.ProductRated(user_id="u", rating=5))
    none = shown(once, events.RatingWithdrawn(user_id="u", rating=5))
    assert (none.rating_count, none.user_rating) == (0, None)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=300))
def test_the_average_is_exact_and_rounded_half_up(ratings: list[int]) -> None:
    histogram = {str(stars): ratings.count(stars) for stars in range(1, 6)}
    hundredths = round((product.average(histogram, len(ratings)) or 0) * 100)
    # Half up: the nearest hundredth is at most half away, and exactly half goes up.
    assert 2 * 100 * sum(ratings) - len(ratings) < 2 * hundredths * len(ratings)
    assert 2 * hundredths * len(ratings) <= 2 * 100 * sum(ratings) + len(ratings)


def test_a_withdrawn_rating_is_hidden_and_keeps_its_version() -> None:
    event = events.RatingWithdrawn(user_id="u", rating=4)
    before = UserRating("u", 4, 1, T1)
    after = rating.project(before, event, recorded(event, 2, T2))
    assert after == replace(before, rating=0, version=2, updated_at=T2)
    assert rating.is_hidden(after)
    assert not rating.is_hidden(before)


def test_every_event_has_a_stream_and_all_but_alerts_a_view() -> None:
    assert set(events.EVENT_TYPES.values()) == set(VIEWS_OF) == set(STREAM_OF) == set(get_args(events.AnyEvent))
    assert {event for event, views in VIEWS_OF.items() if not views} == set(get_args(events.StockAlertEvent))


def test_changing_a_document_is_what_dataclasses_replace_does() -> None:
    before = shown(None, ADDED)
    after = changing(ProductDisplay)(before, price="1.00", version=2)
    assert after == replace(before, price="1.00", version=2)
    assert before.price == "18.00"
