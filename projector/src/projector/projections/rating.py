"""`UserRating`: one user's rating of one product."""

from typing import assert_never

from contracts.documents import UserRating
from contracts.envelope import RecordedEvent
from contracts.events import ProductRated, RatingEvent, RatingWithdrawn

Handled = RatingEvent


def project(document: UserRating | None, event: Handled, recorded: RecordedEvent) -> UserRating:
    """The rating after `event`; a withdrawn one keeps its version and is hidden."""
    updated_at = max(document.updated_at, recorded.time) if document else recorded.time
    match event:
        case ProductRated():
            return UserRating(event.user_id, event.rating, recorded.version, updated_at)
        case RatingWithdrawn():
            return UserRating(event.user_id, 0, recorded.version, updated_at)
        case _:
            assert_never(event)


def is_hidden(document: UserRating) -> bool:
    return document.rating == 0
