"""The log over HTTP: for audit, for healing gaps, and for building a read model anew."""

import re
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from chassis import problems
from chassis.body import validate, validate_parameters
from chassis.http import Call, Operation, PathParameter, Reply, ResponseDoc, json_reply
from chassis.problems import Problem
from command_service.database import Shop, unavailable_when_down
from command_service.event_store.event_ids import EventId, place_of
from command_service.event_store.feed import Feed
from command_service.problems import PARTITION_NOT_FOUND, STREAM_NOT_FOUND
from contracts.envelope import RecordedEvent, encode

_NDJSON: Final = (b"content-type", b"application/x-ndjson")
_TEXT: Final = {"type": "string"}
_MAX_POSITION: Final = 2**63 - 1
_MAX_VERSION: Final = 2**31 - 1
_ALWAYS: Final = (problems.INVALID, problems.METHOD_NOT_ALLOWED, problems.INTERNAL, problems.UNAVAILABLE)

_STREAM_PATTERN: Final = "^[!-.0-~]{1,160}$"
_STREAM_PARAMETER: Final = PathParameter(
    re.compile(_STREAM_PATTERN[1:-1]),
    "a stream id such as product-0190a5f0-7c3e-7b1a-9d2e-3f4a5b6c7d8e",
    {"type": "string", "pattern": _STREAM_PATTERN},
)


class StreamQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")
    after: int = Field(0, ge=0, le=_MAX_VERSION, description="Only events behind this version.")
    limit: int = Field(1000, ge=1, le=10_000, description="At most so many events.")


class FeedQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")
    after: int = Field(0, ge=0, le=_MAX_POSITION, description="Only events behind this position.")
    limit: int = Field(1000, ge=1, le=10_000, description="At most so many events.")


class PartitionQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")
    after: EventId | None = Field(None, description="Only events behind this one, in this order.")
    limit: int = Field(1000, ge=1, le=10_000, description="At most so many events.")


class VersionsBody(BaseModel):
    model_config = ConfigDict(extra="forbid")
    streams: list[Annotated[str, StringConstraints(strict=True, pattern=_STREAM_PATTERN)]] = Field(
        max_length=1000, description="Stream ids."
    )


class VersionsDocument(BaseModel):
    versions: list[int] = Field(description="Each stream's last version, in the order asked for; 0: there is none.")


class HeadsDocument(BaseModel):
    settled: int = Field(description="Below and at it, every transaction has ended.")
    until: int = Field(description="The range ends here.")
    heads: list[tuple[str, int, int, int]] = Field(description="Stream, partition, highest version, its position.")


class SystemDocument(BaseModel):
    partitions: int
    currency: str


def operations(feed: Feed, shop: Shop) -> list[Operation]:
    async def stream(call: Call) -> Reply:
        query = validate_parameters(StreamQuery, call.query())
        with unavailable_when_down():
            found = await feed.stream(call.path["stream_id"], query.after, query.limit)
        if found is None:
            raise Problem(STREAM_NOT_FOUND, f"Nothing has happened under {call.path['stream_id']}.")
        return Reply(200, _lines(found), (_NDJSON,))

    async def events(call: Call) -> Reply:
        query = validate_parameters(FeedQuery, call.query())
        with unavailable_when_down():
            page = await feed.page(query.after, query.limit)
        return Reply(200, _lines(page.events), (_NDJSON, (b"stockroom-settled", str(page.settled).encode())))

    async def heads(call: Call) -> Reply:
        query = validate_parameters(FeedQuery, call.query())
        with unavailable_when_down():
            found = await feed.heads(query.after, query.limit)
        return json_reply(200, found)

    async def partition(call: Call) -> Reply:
        query = validate_parameters(PartitionQuery, call.query())
        number = int(call.path["partition"])
        if number >= shop.partitions:
            raise Problem(PARTITION_NOT_FOUND, f"There are {shop.partitions} partitions.")
        after = None if query.after is None else place_of(query.after)
        with unavailable_when_down():
            found = await feed.of_partition(number, after, query.limit)
        return Reply(200, _lines(found), (_NDJSON,))

    async def versions(call: Call) -> Reply:
        body = validate(VersionsBody, await call.json())
        with unavailable_when_down():
            found = await feed.versions(body.streams)
        return json_reply(200, {"versions": found})

    async def system(_call: Call) -> Reply:
        return json_reply(200, {"partitions": shop.partitions, "currency": shop.currency})

    def operation(path: str, name: str, summary: str, handler: Any, response: ResponseDoc, **more: Any) -> Operation:
        return Operation("GET", path, name, summary, handler, "log", responses={200: response}, **more)

    lines = "One CloudEvent a line (NDJSON)."
    return [
        operation(
            "/streams/{stream_id}/events",
            "GetStream",
            "One stream's history",
            stream,
            ResponseDoc(lines, _TEXT, media_type="application/x-ndjson"),
            path_parameters={"stream_id": _STREAM_PARAMETER},
            query=StreamQuery,
            problems=(*_ALWAYS, STREAM_NOT_FOUND),
        ),
        operation(
            "/events",
            "GetFeed",
            "The feed of all events, up to the settled position",
            events,
            ResponseDoc(
                lines,
                _TEXT,
                {"Stockroom-Settled": "How far the log is settled."},
                "application/x-ndjson",
            ),
            query=FeedQuery,
            problems=_ALWAYS,
        ),
        operation(
            "/events/heads",
            "GetHeads",
            "Which streams a range of the log touches, and how far",
            heads,
            ResponseDoc("The streams.", HeadsDocument),
            query=FeedQuery,
            problems=_ALWAYS,
        ),
        operation(
            "/partitions/{partition}/events",
            "GetPartition",
            "The events of a partition, key by key",
            partition,
            ResponseDoc(lines, _TEXT, media_type="application/x-ndjson"),
            description="By partition key, stream and version: all streams of a key stand together. A page that is not "
            "full is the last. What is appended meanwhile may stand in a page or not; every stream is without holes.",
            path_parameters={
                "partition": PathParameter(
                    re.compile(r"0|[1-9][0-9]{0,4}"),
                    "the number of a partition",
                    {"type": "integer", "minimum": 0, "maximum": shop.partitions - 1},
                )
            },
            query=PartitionQuery,
            problems=(*_ALWAYS, PARTITION_NOT_FOUND),
        ),
        Operation(
            "POST",
            "/streams/versions",
            "GetVersions",
            "How far streams have come",
            versions,
            "log",
            body=VersionsBody,
            responses={200: ResponseDoc("Their versions.", VersionsDocument)},
            problems=(
                *_ALWAYS,
                problems.BAD_REQUEST,
                problems.NOT_JSON,
                problems.TOO_LARGE,
                problems.UNSUPPORTED_MEDIA_TYPE,
            ),
        ),
        operation(
            "/system",
            "GetSystem",
            "What is fixed for this shop",
            system,
            ResponseDoc("The facts.", SystemDocument),
            problems=(problems.METHOD_NOT_ALLOWED, problems.INTERNAL),
        ),
    ]


def _lines(found: list[RecordedEvent]) -> bytes:
    return b"".join(encode(event) + b"\n" for event in found)
