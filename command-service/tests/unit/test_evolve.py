"""Replaying history can't fail, in whatever order it comes, and what is remembered of it is the same state."""

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from command_service.catalog.domain.product import PRODUCT
from command_service.decider import Aggregate
from command_service.inventory.domain.inventory import INVENTORY
from command_service.ratings.domain.rating import RATING
from contracts import events
from contracts.events import Event

_text = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
_maybe = st.none() | _text
_pieces = st.integers(0, 2**40)

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
        st.builds(events.StockAdded, quantity=_pieces, reason=_maybe),
        st.builds(events.StockRecounted, counted_quantity=_pieces, previous_quantity=_pieces),
        st.builds(events.ItemsShipped, quantity=_pieces),
    ),
    "rating": st.one_of(
        st.builds(events.ProductRated, user_id=_text, rating=st.integers(1, 5), replaces=st.none() | st.integers(1, 5)),
        st.builds(events.RatingWithdrawn, user_id=_text, rating=st.integers(1, 5)),
    ),
}
AGGREGATES: list[Aggregate[Any]] = [PRODUCT, INVENTORY, RATING]


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
    unions = (events.ProductEvent, events.InventoryEvent, events.RatingEvent)
    assert {cls.__name__ for union in unions for cls in get_args(union)} == events.EVENT_TYPES.keys()
