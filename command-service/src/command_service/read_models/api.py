"""What read models and their operators keep with the command service, over HTTP."""

import re
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from chassis import problems
from chassis.body import validate
from chassis.http import Call, Operation, PathParameter, Reply, ResponseDoc, json_reply
from chassis.problems import ProblemType
from command_service.database import unavailable_when_down
from command_service.event_store.event_ids import EventId
from command_service.fields import Generation as GenerationNumber
from command_service.fields import StatedReason
from command_service.problems import EVENT_NOT_FOUND, GENERATION_BUILDING, GENERATION_LIVE, GENERATION_NOT_FOUND
from command_service.read_models.store import Discard, Discards, Generation, Generations

_READING: Final = (problems.METHOD_NOT_ALLOWED, problems.INTERNAL, problems.UNAVAILABLE)
_WITH_BODY: Final = (
    *_READING,
    problems.INVALID,
    problems.BAD_REQUEST,
    problems.NOT_JSON,
    problems.TOO_LARGE,
    problems.UNSUPPORTED_MEDIA_TYPE,
)
_NUMBER: Final = {
    "number": PathParameter(
        re.compile(r"[1-9][0-9]{0,8}"),
        "a generation's number",
        {"type": "integer", "minimum": 1, "maximum": 999_999_999},
    )
}


class NewGenerationBody(BaseModel):
    model_config = ConfigDict(extra="forbid")
    above: GenerationNumber = 0


class DiscardBody(BaseModel):
    model_config = ConfigDict(extra="forbid")
    event_id: EventId
    reason: StatedReason


@dataclass(frozen=True, slots=True)
class GenerationsDocument:
    """`live` is the number of the one that queries are answered from."""

    live: int
    generations: list[Generation]


@dataclass(frozen=True, slots=True)
class NewGeneration:
    number: int


@dataclass(frozen=True, slots=True)
class DiscardsDocument:
    """In the order in which they were discarded."""

    items: list[Discard]


class ReadModels:
    def __init__(self, generations: Generations, discards: Discards) -> None:
        self._generations = generations
        self._discards = discards

    async def generations(self, _call: Call) -> Reply:
        with unavailable_when_down():
            found = await self._generations.all()
        [live] = [one.number for one in found if one.status == "live"]
        return json_reply(200, GenerationsDocument(live, found))

    async def begin(self, call: Call) -> Reply:
        document = await call.json()
        body = validate(NewGenerationBody, {} if document is None else document)
        with unavailable_when_down():
            number = await self._generations.begin(body.above)
        return json_reply(201, NewGeneration(number))

    async def switch(self, call: Call) -> Reply:
        with unavailable_when_down():
            await self._generations.switch(int(call.path["number"]))
        return Reply(204)

    async def drop(self, call: Call) -> Reply:
        with unavailable_when_down():
            await self._generations.drop(int(call.path["number"]))
        return Reply(204)

    async def discards(self, _call: Call) -> Reply:
        with unavailable_when_down():
            found = await self._discards.all()
        return json_reply(200, DiscardsDocument(list(found)))

    async def discard(self, call: Call) -> Reply:
        body = validate(DiscardBody, await call.json())
        with unavailable_when_down():
            await self._discards.add(body.event_id, body.reason)
        return Reply(204)


def operations(generations: Generations, discards: Discards) -> list[Operation]:
    read_models = ReadModels(generations, discards)

    def operation(
        method: str,
        path: str,
        name: str,
        summary: str,
        handler: Any,
        responses: dict[int, ResponseDoc],
        refused: tuple[ProblemType, ...],
        **more: Any,
    ) -> Operation:
        return Operation(
            method, path, name, summary, handler, "read models", responses=responses, problems=refused, **more
        )

    done = {204: ResponseDoc("Done.")}
    return [
        operation(
            "GET",
            "/generations",
            "GetGenerations",
            "The generations of the read model, and which is live",
            read_models.generations,
            {200: ResponseDoc("Those that were not dropped, ascending.", GenerationsDocument)},
            _READING,
        ),
        operation(
            "POST",
            "/generations",
            "BeginGeneration",
            "Begin the next generation",
            read_models.begin,
            {201: ResponseDoc("Its number, which no generation had before.", NewGeneration)},
            (*_WITH_BODY, GENERATION_BUILDING),
            body=NewGenerationBody,
            body_required=False,
        ),
        operation(
            "POST",
            "/generations/{number}/switch",
            "SwitchGeneration",
            "Make a generation the live one, and keep the one that was",
            read_models.switch,
            done,
            (*_READING, problems.INVALID, GENERATION_NOT_FOUND),
            path_parameters=_NUMBER,
        ),
        operation(
            "DELETE",
            "/generations/{number}",
            "DropGeneration",
            "Give up a generation that is not live",
            read_models.drop,
            done,
            (*_READING, problems.INVALID, GENERATION_NOT_FOUND, GENERATION_LIVE),
            path_parameters=_NUMBER,
        ),
        operation(
            "GET",
            "/discards",
            "GetDiscards",
            "The events that read models leave out",
            read_models.discards,
            {200: ResponseDoc("All of them, in the order in which they were discarded.", DiscardsDocument)},
            _READING,
        ),
        operation(
            "POST",
            "/discards",
            "DiscardEvent",
            "Have read models leave out an event, for ever",
            read_models.discard,
            done,
            (*_WITH_BODY, EVENT_NOT_FOUND),
            body=DiscardBody,
        ),
    ]
