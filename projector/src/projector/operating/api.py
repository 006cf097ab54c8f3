"""Parked keys and dead letters over HTTP."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from chassis import problems
from chassis.body import validate, validate_parameters
from chassis.http import Call, Operation, PathParameter, Reply, ResponseDoc, json_reply
from chassis.problems import Problem
from chassis.publisher import NOT_PUBLISHED
from projector import dead_letters
from projector.connections import Connections
from projector.dead_letters import DeadLetters, OthersLook
from projector.feed import FeedUnavailable
from projector.operating.parked import (
    EventNotPoisoned,
    KeyNotParked,
    ParkedDetails,
    ParkedKey,
    key_of,
    parked_keys,
)
from projector.operating.problems import EVENT_NOT_POISONED, KEY_NOT_PARKED
from projector.redis_client import UNREACHABLE
from projector.store import GuardLost

_ALWAYS: Final = (problems.INVALID, problems.METHOD_NOT_ALLOWED, problems.INTERNAL, problems.UNAVAILABLE)
_BODIES: Final = (problems.NOT_JSON, problems.TOO_LARGE, problems.UNSUPPORTED_MEDIA_TYPE)
_RETRY_AFTER: Final = (b"retry-after", b"2")
_KEY: Final = PathParameter(
    re.compile(r"[!-.0-~]{1,160}"),
    "a partition key: a product's or an order's id",
    {"type": "string", "pattern": "^[!-.0-~]{1,160}$"},
)


class GenerationQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")
    generation: int | None = Field(
        None, ge=1, le=2**31 - 1, description="Of the read model; the one that is read when absent."
    )


class ParkedQuery(GenerationQuery):
    cursor: int = Field(0, ge=0, le=2**64 - 1, description="From `next_cursor`.")


class DetailsQuery(GenerationQuery):
    limit: int = Field(100, ge=1, le=1000, description="At most so many events.")


class LettersQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")
    limit: int = Field(20, ge=1, le=1000, description="At most so many, the oldest first.")


class Discarding(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    event_id: str = Field(min_length=1, max_length=200, description="The event that the key is parked at.")
    reason: str = Field(min_length=1, max_length=500, description="Why; it is kept with the event's id.")


class ParkedPage(BaseModel):
    items: list[ParkedKey]
    next_cursor: str | None = Field(description="A page may be short, even empty, while this is set.")


def operations(connections: Connections, on_due: Callable[[], None]) -> list[Operation]:
    """`on_due` is called when a key's time has come: the walk need not wait for its next turn."""
    redis, feed = connections.redis, connections.feed

    async def listed(call: Call) -> Reply:
        query = validate_parameters(ParkedQuery, call.query())
        with _refusals():
            keys = await parked_keys(redis, feed, query.generation)
            cursor, items = await keys.page(query.cursor)
        return json_reply(200, {"items": items, "next_cursor": str(cursor) if cursor else None})

    async def shown(call: Call) -> Reply:
        query = validate_parameters(DetailsQuery, call.query())
        with _refusals():
            keys = await parked_keys(redis, feed, query.generation)
            return json_reply(200, await keys.details(call.path["key"], query.limit))

    async def redriven(call: Call) -> Reply:
        query = validate_parameters(GenerationQuery, call.query())
        with _refusals():
            keys = await parked_keys(redis, feed, query.generation)
            await keys.redrive(call.path["key"])
        on_due()
        return Reply(202)

    async def discarded(call: Call) -> Reply:
        query = validate_parameters(GenerationQuery, call.query())
        body = validate(Discarding, await call.json())
        with _refusals():
            keys = await parked_keys(redis, feed, query.generation)
            parked = await keys.find(call.path["key"])
            if key_of(body.event_id) != parked.key:
                raise EventNotPoisoned(f"{body.event_id} is no event of {parked.key}")
            await keys.discard(body.event_id, body.reason)
        on_due()
        return Reply(204)

    async def lettered(call: Call) -> Reply:
        query = validate_parameters(LettersQuery, call.query())
        try:
            return json_reply(200, await dead_letters.look(connections.settings.rabbitmq_url, query.limit))
        except NOT_PUBLISHED as error:
            raise _unavailable("The broker can't be reached.") from error
        except OthersLook as error:
            raise _unavailable(str(error)) from error

    key = {"key": _KEY}
    return [
        Operation(
            "GET",
            "/parked",
            "ListParked",
            "Keys that wait for an event that can't be applied",
            listed,
            "parked",
            query=ParkedQuery,
            responses={200: ResponseDoc("Some of the keys, in no order.", ParkedPage)},
            problems=_ALWAYS,
        ),
        Operation(
            "GET",
            "/parked/{key}",
            "GetParked",
            "A parked key, and the events that wait with it",
            shown,
            "parked",
            path_parameters=key,
            query=DetailsQuery,
            responses={200: ResponseDoc("The key and its events.", ParkedDetails)},
            problems=(*_ALWAYS, KEY_NOT_PARKED),
        ),
        Operation(
            "POST",
            "/parked/{key}/redrive",
            "RedriveParked",
            "Try a parked key at once",
            redriven,
            "parked",
            path_parameters=key,
            query=GenerationQuery,
            responses={202: ResponseDoc("It will be tried. `GET /parked/{key}` tells what came of it.")},
            problems=(*_ALWAYS, KEY_NOT_PARKED),
        ),
        Operation(
            "POST",
            "/parked/{key}/discard",
            "DiscardEvent",
            "Have a poisoned event count as applied without effect, for ever, and redrive its key",
            discarded,
            "parked",
            path_parameters=key,
            query=GenerationQuery,
            body=Discarding,
            responses={204: ResponseDoc("It is discarded, and the key will be tried.")},
            problems=(*_ALWAYS, *_BODIES, KEY_NOT_PARKED, EVENT_NOT_POISONED),
        ),
        Operation(
            "GET",
            "/dead-letters",
            "ListDeadLetters",
            "Messages that can't be read at all",
            lettered,
            "dead letters",
            query=LettersQuery,
            responses={200: ResponseDoc("How many there are, and the oldest. They stay where they are.", DeadLetters)},
            problems=_ALWAYS,
        ),
    ]


@contextmanager
def _refusals() -> Iterator[None]:
    """What may come of asking for parked keys, as problems."""
    try:
        yield
    except KeyNotParked as error:
        raise Problem(KEY_NOT_PARKED, f"{error}.") from error
    except EventNotPoisoned as error:
        raise Problem(EVENT_NOT_POISONED, f"{error}.") from error
    except GuardLost as error:
        raise _unavailable("The generation is gone, or was made by another version of the projector.") from error
    except FeedUnavailable as error:
        raise _unavailable("The command service can't be reached.") from error
    except UNREACHABLE as error:
        raise _unavailable("Redis can't be reached.") from error


def _unavailable(detail: str) -> Problem:
    return Problem(problems.UNAVAILABLE, detail, headers=(_RETRY_AFTER,))
