"""One user's rating of one product: given, replaced, withdrawn."""

from typing import assert_never

from pydantic import TypeAdapter

from command_service.decider import Aggregate, Stream
from contracts.events import ProductRated, RatingEvent, RatingWithdrawn
from contracts.streams import rating_stream

RatingState = int | None
"""1–5; None: never rated, or withdrawn."""


def evolve(_state: RatingState, event: RatingEvent) -> RatingState:
    match event:
        case ProductRated():
            return event.rating
        case RatingWithdrawn():
            return None
        case _:
            assert_never(event)


RATING: Aggregate[RatingState] = Aggregate(
    kind="rating",
    initial=None,
    evolve=evolve,
    exists=lambda state: state is not None,
    snapshot=TypeAdapter(RatingState),
)


def rating(product_id: str, user_id: str) -> Stream[RatingState]:
    return Stream(rating_stream(product_id, user_id), RATING)
