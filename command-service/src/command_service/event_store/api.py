"""The log over HTTP: for audit, for healing gaps, and for building a read model anew."""

import re
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from chassis import problems
from chassis.body import validate_parameters
from chassis.http import Call, Operation, PathParameter, Reply, ResponseDoc, json_reply
from chassis.problems import Problem
from command_service.database import Shop, unavailable_when_down
from command_service.event_store.feed import Feed
from command_service.problems import STREAM_NOT_FOUND
from contracts.envelope import RecordedEvent, encode

_NDJSON: Final = (b"content-type", b"application/x-ndjson")
_TEXT: Final = {"type": "string"}
_MAX_POSITION: Final = 2**63 - 1
_MAX_VERSION: Final = 2**31 - 1
_ALWAYS: Final = (problems.INVALID, problems.METHOD_NOT_ALLOWED, problems.INTERNAL, problems.UNAVAILABLE)

_STREAM_PARAMETER: Final = PathParameter(
    re.compile(r"[!-.0-~]{1,160}"),
    "a stream id such as product-0190a5f0-7c3e-7b1a-9d2e-3f4a5b6c7d8e",
    {"type": "string", "pattern": "^[!-.0-~]{1,160}$"},
)


class StreamQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")
    after: int = Field(0, ge=0, le=_MAX_VERSION, description="Only events behind this version.")
    limit: int = Field(1000, ge=1, le=10_000, description="At most so many events.")


class FeedQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")
    after: int = Field(0, ge=0, le=_MAX_POSITION, description="Only events behind this position.")
    limit: int = Field(1000, ge=1, le=10_000, description="At most so many events.")


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
