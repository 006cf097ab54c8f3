"""The log along its positions, up to where Redis has applied it."""

import asyncio
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Final

from contracts.envelope import RecordedEvent
from projector.feed import Feed

_PAUSE: Final = 0.02


class LogBehind(Exception):
    """Redis has applied a position that the log does not come to: it is not the log that this was made from."""


@dataclass(frozen=True, slots=True)
class Range:
    """The log's events behind position `after` up to `until`."""

    after: int
    until: int
    events: list[RecordedEvent]


async def ranges(feed: Feed, after: int, until: int, page_events: int, patience: float) -> AsyncGenerator[Range, None]:
    """The log behind `after` up to `until`, a position that is committed: waits until it is settled.

    Raises:
        LogBehind: that takes longer than `patience` seconds.
    """
    deadline = time.monotonic() + patience
    while after < until:
        page = await feed.events(after, page_events)
        events = [event for event in page.events if event.position <= until]
        if len(events) < len(page.events) or (page.settled >= until and not page.events):
            end = until
        else:
            end = page.events[-1].position if page.events else after
        if end > after:
            yield Range(after, end, events)
            after, deadline = end, time.monotonic() + patience
        elif time.monotonic() > deadline:
            raise LogBehind(f"Redis has applied position {until}, but the log ends at {page.settled}")
        else:
            await asyncio.sleep(_PAUSE)
