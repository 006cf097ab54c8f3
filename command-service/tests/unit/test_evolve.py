"""Replaying history can't fail, in whatever order it comes, and what is remembered of it is the same state."""

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from command_service.catalog.domain.product import PRODUCT
from command_service.decider import Aggregate
from command_service.inventory.domain.inventory import INVENTORY
from command_service.orders.domain.order import ORDER
from command_service.ratings.domain.rating import RATING
from command_service.stock_alerts.domain.stock_alert import STOCK_ALERTS
from contracts import events
from contracts.events import Event
from contracts.money import from_ticks

_text = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
_maybe = st.none() | _text
_pieces = st.integers(0, 2**40)
_money = st.integers(0, 10**15 - 1).map(from_ticks)
_line_pieces = st.lists(
    st.builds(events.LinePieces, line=st.integers(0, 3), quantity=st.integers(0, 5)), max_size=3
).map(tuple)

EVENTS: dict[str, st.SearchStrategy[Any]] = {
    "product": st.one_of(
        st.builds(
            events.ProductAdded,
            name=_text,
            description=_maybe,
            price=_text,
            currency=_text,
            sku=_maybe,
            category=_maybe,
        ),
        st.builds(events.ProductDetailsUpdated, name=_text, description=_maybe, category=_maybe),
        st.builds(events.PriceChanged, price=_text, previous_price=_text),
        st.builds(events.ProductDiscontinued),
        st.builds(events.ProductRelisted),
    ),
    "inventory": st.one_of(
        st.builds(events.InventoryOpened, quantity=_pieces),
        st.builds(events.StockAdded, available=_pieces, quantity=_pieces, reason=_maybe),
        st.builds(events.StockRecounted, available=_pieces, counted_quantity=_pieces, previous_quantity=_pieces),
        st.builds(events.ItemsShipped, available=_pieces, quantity=_pieces),
        st.builds(events.StockReserved, available=_pieces, order_id=_text, quantity=_pieces),
        st.builds(events.ReservationReleased, available=_pieces, order_id=_text, quantity=_pieces),
        st.builds(events.ReservedItemsShipped, available=_pieces, order_id=_text, quantity=_pieces),
        st.builds(events.ItemsRestocked, available=_pieces, order_id=_text, quantity=_pieces),
    ),
    "rating": st.one_of(
        st.builds(events.ProductRated, user_id=_text, rating=st.integers(1, 5), replaces=st.none() | st.integers(1, 5)),
        st.builds(events.RatingWithdrawn, user_id=_text, rating=st.integers(1, 5)),
    ),
    "order": st.one_of(
        st.builds(
            events.OrderPlaced,
            customer_id=_text,
            lines=st.lists(
                st.builds(events.OrderLine, product_id=_text, name=_text, quantity=_pieces, unit_price=_money),
                max_size=3,
            ).map(tuple),
            total=_money,
            currency=st.sampled_from(("EUR", "JPY", "KWD")),
            payment_seconds=st.none() | _pieces,
        ),
        st.builds(events.OrderPaid, amount=_money, reference=_text),
        st.builds(events.OrderItemsShipped, lines=_line_pieces),
        st.builds(events.OrderCancelled, reason=_maybe, refund=_money),
        st.builds(events.RemainingItemsCancelled, lines=_line_pieces, reason=_maybe, refund=_money),
        st.builds(events.OrderExpired),
        st.builds(events.OrderItemsReturned, lines=_line_pieces, restocked=st.booleans(), refund=_money),
    ),
    "stockalert": st.one_of(
        st.builds(events.StockRanOut, available=_pieces, inventory_version=_pieces),
        st.builds(events.StockRanLow, available=_pieces, threshold=_pieces, inventory_version=_pieces),
    ),
}
AGGREGATES: list[Aggregate[Any]] = [PRODUCT, INVENTORY, RATING, ORDER, STOCK_ALERTS]


@pytest.mark.parametrize("aggregate", AGGREGATES, ids=lambda aggregate: aggregate.kind)
@given(data=st.data())
def test_evolve_never_refuses_and_a_snapshot_holds_the_whole_state(
    aggregate: Aggregate[Any], data: st.DataObject
) -> None:
    history: list[Event] = data.draw(st.lists(EVENTS[aggregate.kind], max_size=12))
    state = aggregate.initial
    for event in history:
        state = aggregate.evolve(state, event)
        aggregate.exists(state)
    remembered = aggregate.snapshot.dump_json(state)
    assert aggregate.snapshot.validate_json(remembered) == state


def test_every_event_type_belongs_to_an_aggregate() -> None:
    unions = (
        events.ProductEvent,
        events.InventoryEvent,
        events.RatingEvent,
        events.OrderEvent,
        events.StockAlertEvent,
    )
    assert {cls.__name__ for union in unions for cls in get_args(union)} == events.EVENT_TYPES.keys()
