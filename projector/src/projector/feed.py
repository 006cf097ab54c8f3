"""The log, as the command service serves it over HTTP."""

from dataclasses import dataclass
from typing import Any, NamedTuple, cast
from urllib.parse import quote

import httpx
import orjson

from contracts import envelope
from contracts.envelope import RecordedEvent, UnreadableMessage

PAGE_EVENTS = 1_000
PAGE_HEADS = 10_000
LONGEST_STREAM_ID = 1_000
"""Characters; the log has none that is longer."""

ANSWER_SECONDS = 30.0
CONNECT_SECONDS = 3.0


class FeedUnavailable(Exception):
    """The log can't be read just now. Never the fault of an event; it passes."""


@dataclass(frozen=True, slots=True)
class System:
    """What the command service says of the whole system."""

    partitions: int
    generation: int


class Head(NamedTuple):
    """A stream's highest version within a range of the log, and the position of that event."""

    stream_id: str
    partition: int
    version: int
    position: int


@dataclass(frozen=True, slots=True)
class HeadsPage:
    """The heads of all streams with events in (after, `until`]; `until` is at most `settled`."""

    settled: int
    until: int
    heads: list[Head]


@dataclass(frozen=True, slots=True)
class EventsPage:
    """Events in the order of their positions, none beyond `settled`; none at all when there are no more."""

    settled: int
    events: list[RecordedEvent]


class Feed:
    """Reads the log. Every method raises `FeedUnavailable` when it can't."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def system(self) -> System:
        document = await self._document("/system", {})
        try:
            return System(int(document["partitions"]), int(document.get("generation", 1)))
        except (KeyError, TypeError, ValueError) as error:
            raise FeedUnavailable("/system is not as agreed") from error

    async def heads(self, after: int, limit: int = PAGE_HEADS) -> HeadsPage:
        """The heads of the first `limit` events behind `after`."""
        document = await self._document("/events/heads", {"after": after, "limit": min(limit, PAGE_HEADS)})
        try:
            heads = [Head(str(s), int(p), int(v), int(at)) for s, p, v, at in document["heads"]]
            return HeadsPage(int(document["settled"]), int(document["until"]), heads)
        except (KeyError, TypeError, ValueError) as error:
            raise FeedUnavailable("/events/heads is not as agreed") from error

    async def events(self, after: int) -> EventsPage:
        response = await self._get("/events", {"after": after, "limit": PAGE_EVENTS})
        settled = response.headers.get("Stockroom-Settled", "")
        if not settled.isdigit():
            raise FeedUnavailable("/events does not say what is settled")
        return EventsPage(int(settled), _events(response.content))

    async def stream(self, stream_id: str, after: int) -> list[RecordedEvent]:
        """At most `PAGE_EVENTS` events of a stream, from version `after` + 1 on; none of a stream that isn't there."""
        if len(stream_id) > LONGEST_STREAM_ID:
            return []
        path = f"/streams/{quote(stream_id, safe='')}/events"
        response = await self._get(path, {"after": after, "limit": PAGE_EVENTS}, missing=True)
        return [] if response.status_code != httpx.codes.OK else _events(response.content)

    async def _document(self, path: str, parameters: dict[str, int]) -> dict[str, Any]:
        response = await self._get(path, parameters)
        try:
            return cast(dict[str, Any], orjson.loads(response.content))
        except orjson.JSONDecodeError as error:
            raise FeedUnavailable(f"{path} is not JSON") from error

    async def _get(self, path: str, parameters: dict[str, int], *, missing: bool = False) -> httpx.Response:
        try:
            response = await self._client.get(path, params=parameters)
        except httpx.HTTPError as error:
            raise FeedUnavailable(type(error).__name__) from error
        if missing and _is_no_stream(response):
            return response
        if response.status_code != httpx.codes.OK:
            raise FeedUnavailable(f"the command service answers {response.status_code}")
        return response


def connect(command_url: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=command_url, timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS), trust_env=False
    )


def _is_no_stream(response: httpx.Response) -> bool:
    """Our command service's own "no such stream" or "no name of a stream", not what else may answer at the address."""
    media_type = response.headers.get("content-type", "")
    return response.status_code in (404, 422) and media_type.startswith("application/problem+json")


def _events(body: bytes) -> list[RecordedEvent]:
    try:
        return [envelope.decode(orjson.loads(line)) for line in body.splitlines() if line]
    except (orjson.JSONDecodeError, UnreadableMessage) as error:
        raise FeedUnavailable(f"the log holds what can't be read: {error}") from error
