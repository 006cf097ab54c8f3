"""The log, as the command service serves it over HTTP, and what it keeps because it must outlive Redis."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, cast
from urllib.parse import quote

import httpx
import orjson

from contracts import envelope
from contracts.envelope import RecordedEvent, UnreadableMessage

PAGE_EVENTS = 1_000
PAGE_HEADS = 10_000
LONGEST_STREAM_ID = 1_000
"""Characters; the log has none that is longer."""

_BEYOND = 2**62
"""No log is as long."""

ANSWER_SECONDS = 30.0
CONNECT_SECONDS = 3.0


class FeedUnavailable(Exception):
    """The log can't be read just now. Never the fault of an event; it passes."""


class Refused(Exception):
    """The command service says no, and why: the text is for whoever asked. It does not pass by itself."""


@dataclass(frozen=True, slots=True)
class System:
    """What the command service says of the whole system."""

    partitions: int
    currency: str


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


Status = Literal["building", "live", "kept"]


@dataclass(frozen=True, slots=True)
class Registered:
    """A generation of the read model, as Postgres knows it. Times are RFC 3339."""

    number: int
    status: Status
    created_at: str
    switched_at: str | None


@dataclass(frozen=True, slots=True)
class Registry:
    """The generations that were not dropped, by number; `live` is the one to be read."""

    live: int
    generations: tuple[Registered, ...]

    def status(self, number: int) -> Status | None:
        return next((g.status for g in self.generations if g.number == number), None)

    @property
    def building(self) -> int | None:
        return next((g.number for g in self.generations if g.status == "building"), None)


@dataclass(frozen=True, slots=True)
class Discard:
    """An event that an operator wants left out of the read model."""

    event_id: str
    partition_key: str
    reason: str
    discarded_at: str


class Feed:
    """Reads the log. Every method raises `FeedUnavailable` when it can't; those that ask for something, `Refused`."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def system(self) -> System:
        document = await self._document("/system", {})
        with _as_agreed("/system"):
            return System(int(document["partitions"]), str(document["currency"]))

    async def heads(self, after: int, limit: int = PAGE_HEADS) -> HeadsPage:
        """The heads of the first `limit` events behind `after`."""
        document = await self._document("/events/heads", {"after": after, "limit": min(limit, PAGE_HEADS)})
        with _as_agreed("/events/heads"):
            heads = [Head(str(s), int(p), int(v), int(at)) for s, p, v, at in document["heads"]]
            return HeadsPage(int(document["settled"]), int(document["until"]), heads)

    async def events(self, after: int, limit: int = PAGE_EVENTS) -> EventsPage:
        response = await self._get("/events", {"after": after, "limit": limit})
        settled = response.headers.get("Stockroom-Settled", "")
        if not settled.isdigit():
            raise FeedUnavailable("/events does not say what is settled")
        return EventsPage(int(settled), _events(response.content))

    async def settled(self) -> int:
        """The position up to which the log is settled now."""
        return (await self.events(_BEYOND, limit=1)).settled

    async def stream(self, stream_id: str, after: int, limit: int = PAGE_EVENTS) -> list[RecordedEvent]:
        """At most `limit` events of a stream, from version `after` + 1 on; none of a stream that isn't there."""
        if len(stream_id) > LONGEST_STREAM_ID:
            return []
        path = f"/streams/{quote(stream_id, safe='')}/events"
        response = await self._get(path, {"after": after, "limit": limit}, missing=True)
        return [] if response.status != httpx.codes.OK else _events(response.content)

    async def partition_events(self, partition: int, after: str | None, limit: int) -> list[RecordedEvent]:
        """A partition's events behind the one with id `after` by (partition key, stream, version), not by position."""
        parameters: dict[str, int | str] = {"limit": limit} if after is None else {"limit": limit, "after": after}
        response = await self._ask("GET", f"/partitions/{partition}/events", parameters=parameters)
        return _events(response.content)

    async def versions(self, streams: Sequence[str]) -> list[int]:
        """The version of each of at most 1,000 streams, settled or not; 0 of one that the log doesn't have."""
        if not streams:
            return []
        document = _parsed(await self._ask("POST", "/streams/versions", {"streams": list(streams)}))
        with _as_agreed("/streams/versions"):
            return [int(version) for version in document["versions"]]

    async def generations(self) -> Registry:
        document = await self._document("/generations", {})
        with _as_agreed("/generations"):
            found = tuple(
                Registered(int(g["number"]), g["status"], g["created_at"], g["switched_at"])
                for g in document["generations"]
            )
            return Registry(int(document["live"]), found)

    async def new_generation(self, above: int) -> int:
        """Registers the next generation, whose number is higher than `above` and than all that ever were.

        Raises:
            Refused: one is being built.
        """
        document = _parsed(await self._ask("POST", "/generations", {"above": above}))
        with _as_agreed("/generations"):
            return int(document["number"])

    async def switch(self, number: int) -> None:
        """Makes a generation the live one; the one that was live is kept."""
        await self._ask("POST", f"/generations/{number}/switch")

    async def drop(self, number: int) -> None:
        """Takes a generation off the register. Raises `Refused` for the live one, and for one that isn't there."""
        await self._ask("DELETE", f"/generations/{number}")

    async def discards(self) -> list[Discard]:
        document = await self._document("/discards", {})
        with _as_agreed("/discards"):
            return [
                Discard(str(d["event_id"]), str(d["partition_key"]), str(d["reason"]), str(d["discarded_at"]))
                for d in document["items"]
            ]

    async def discard(self, event_id: str, reason: str) -> None:
        """Keeps for ever that an event is left out, and why. Raises `Refused` when the log has no such event."""
        await self._ask("POST", "/discards", {"event_id": event_id, "reason": reason})

    async def _document(self, path: str, parameters: dict[str, int]) -> dict[str, Any]:
        return _parsed(await self._get(path, parameters))

    async def _ask(
        self, method: str, path: str, body: Any = None, *, parameters: Mapping[str, int | str] | None = None
    ) -> "_Answer":
        content = orjson.dumps(body) if body is not None else None
        answer = await self._send(method, path, parameters, content)
        if httpx.codes.is_success(answer.status):
            return answer
        if httpx.codes.is_client_error(answer.status) and _is_problem(answer):
            raise Refused(_detail(answer))
        raise FeedUnavailable(f"the command service answers {answer.status}")

    async def _get(self, path: str, parameters: dict[str, int], *, missing: bool = False) -> "_Answer":
        answer = await self._send("GET", path, parameters)
        if missing and _is_no_stream(answer):
            return answer
        if answer.status != httpx.codes.OK:
            raise FeedUnavailable(f"the command service answers {answer.status}")
        return answer

    async def _send(
        self, method: str, path: str, parameters: Mapping[str, int | str] | None, content: bytes | None = None
    ) -> "_Answer":
        headers = {"content-type": "application/json"} if content else {}
        try:
            # A response that keeps its content is part of a reference cycle with it: a long paging of the log had a
            # gigabyte of pages in memory before the garbage collector, which counts objects, found it worth a look.
            async with self._client.stream(method, path, params=parameters, content=content, headers=headers) as said:
                body = b"".join([chunk async for chunk in said.aiter_bytes()])
        except httpx.HTTPError as error:
            raise FeedUnavailable(type(error).__name__) from error
        return _Answer(path, said.status_code, said.headers, body)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What is needed of a response."""

    path: str
    status: int
    headers: Mapping[str, str]
    content: bytes


def connect(command_url: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=command_url, timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS), trust_env=False
    )


def _is_no_stream(answer: _Answer) -> bool:
    """Our command service's own "no such stream" or "no name of a stream", not what else may answer at the address."""
    return answer.status in (404, 422) and _is_problem(answer)


def _is_problem(answer: _Answer) -> bool:
    return answer.headers.get("content-type", "").startswith("application/problem+json")


def _detail(answer: _Answer) -> str:
    problem = _parsed(answer)
    return str(problem.get("detail") or problem.get("title") or answer.status)


def _parsed(answer: _Answer) -> dict[str, Any]:
    try:
        return cast(dict[str, Any], orjson.loads(answer.content))
    except orjson.JSONDecodeError as error:
        raise FeedUnavailable(f"{answer.path} is not JSON") from error


@contextmanager
def _as_agreed(path: str) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise FeedUnavailable(f"{path} is not as agreed") from error


def _events(body: bytes) -> list[RecordedEvent]:
    try:
        return [envelope.decode(orjson.loads(line)) for line in body.splitlines() if line]
    except (orjson.JSONDecodeError, UnreadableMessage) as error:
        raise FeedUnavailable(f"the log holds what can't be read: {error}") from error
