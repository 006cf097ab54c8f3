"""The events that an operator has discarded: they count as applied, and have no effect."""

from projector.feed import Feed


class Discards:
    """Those that the command service keeps, as they were when last looked at."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self.ids: frozenset[str] = frozenset()

    async def refresh(self) -> None:
        """Raises `FeedUnavailable` when they can't be read; then those that are known stay."""
        self.ids = frozenset(discard.event_id for discard in await self._feed.discards())
