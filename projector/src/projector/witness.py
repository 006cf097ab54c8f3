"""Which log a read model was made from: events that the log must have, and by what each is recognised.

See decisions/0009-a-log-that-was-restored.md.
"""

from collections.abc import Iterable
from hashlib import blake2b
from operator import attrgetter

from contracts.envelope import RecordedEvent
from projector.feed import PAGE_HEADS, Feed


class AnotherLog(Exception):
    """The log is not the one that the read model was made from: nothing of it may be applied."""


def identity(event: RecordedEvent) -> str:
    """``<stream>@<version>#<hash>``: no event of another log, or of another course of this one, has the same."""
    told = f"{event.position} {event.metadata.command_id} {event.recorded_at}"
    return f"{event.id}#{blake2b(told.encode(), digest_size=8).hexdigest()}"


async def check(feed: Feed, identities: Iterable[str]) -> None:
    """Looks for events in the log; also for those that are not settled.

    Raises:
        AnotherLog: one is missing, or there is another one in its place.
        FeedUnavailable: the log can't be read.
    """
    for known in identities:
        event_id = known.rpartition("#")[0]
        stream, _, version = event_id.rpartition("@")
        found = await feed.stream(stream, int(version) - 1, limit=1)
        if not found:
            raise AnotherLog(f"{event_id} has been applied, and the log does not have it")
        if identity(found[0]) != known:
            raise AnotherLog(f"{event_id} is another event in the log than the one that has been applied")


async def of(feed: Feed, stream_id: str, version: int) -> str:
    """The identity of an event that the log must have.

    Raises:
        AnotherLog: it does not.
        FeedUnavailable: the log can't be read.
    """
    found = await feed.stream(stream_id, version - 1, limit=1)
    if not found:
        raise AnotherLog(f"the log has lost {stream_id}@{version}")
    return identity(found[0])


async def latest(feed: Feed) -> tuple[int, str]:
    """A position up to which the log is settled now, and the identity of the last event there.

    The identity is empty when the log is, or has a gap of more than a page there.
    """
    settled = await feed.settled()
    page = await feed.heads(max(0, settled - PAGE_HEADS))
    last = max(page.heads, key=attrgetter("position"), default=None)
    return page.until, await of(feed, last.stream_id, last.version) if last else ""
