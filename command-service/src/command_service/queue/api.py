"""Queued commands over HTTP: accepting them, and what has become of them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from chassis import problems
from chassis.body import MAX_ERRORS, invalid, validate_parameters
from chassis.http import Call, HeaderParameter, Operation, PathParameter, Reply, ResponseDoc, json_reply
from chassis.openapi import REFERENCE
from chassis.prefer import read_preference
from chassis.problems import Problem, body_error, parameter_error
from command_service.api import Door, accept, command_url
from command_service.calls import idempotency_key, origin_of
from command_service.database import unavailable_when_down
from command_service.problems import COMMAND_NOT_FOUND, KEY_REUSED
from command_service.queue.documents import MAX_COMMANDS, CommandReader, NotACommand
from command_service.queue.receipts import Receipt
from command_service.queue.schemas import command_schema_name, command_schemas
from contracts.envelope import rfc3339

MAX_BODY: Final = 4 * 1024 * 1024
MAX_IDS: Final = 100

_ID: Final = re.compile(r"[!-~]{1,128}")
_ID_PARAMETER: Final = PathParameter(
    _ID, "1–128 visible ASCII characters", {"type": "string", "pattern": "^[!-~]{1,128}$"}
)
_WAIT: Final = HeaderParameter("Prefer", "`wait=N`: wait up to N seconds (at most 30) for the end.")
_READING: Final = (problems.INVALID, problems.METHOD_NOT_ALLOWED, problems.INTERNAL, problems.UNAVAILABLE)


_EXAMPLE: Final = [
    {"type": "ChangePrice", "data": {"product_id": "0190a5f0-7c3e-7b1a-9d2e-3f4a5b6c7d8e", "price": "299"}, "id": "1"},
    {"type": "ShipOrder", "data": {"order_id": "0190a5f0-aaaa-7b1a-9d2e-3f4a5b6c7d8e"}, "id": "2"},
]


@dataclass(frozen=True, slots=True)
class AcceptedCommand:
    id: str
    status_url: str


@dataclass(frozen=True, slots=True)
class AcceptedCommands:
    """In the order in which they were sent."""

    commands: list[AcceptedCommand]


@dataclass(frozen=True, slots=True)
class CommandStatus:
    """What is known of a command. `status` is accepted, succeeded, rejected (by a rule) or failed (a fault of ours)."""

    id: str
    type: str
    status: str
    submitted_at: str
    completed_at: str | None
    result: dict[str, Any] | None
    problem: dict[str, Any] | None
    consistency_token: str | None


@dataclass(frozen=True, slots=True)
class CommandStatuses:
    items: list[CommandStatus]


def _ids(value: Any) -> tuple[str, ...]:
    ids = tuple(dict.fromkeys(str(value).split(",")))
    if len(ids) > MAX_IDS:
        raise ValueError(f"At most {MAX_IDS} ids may be asked for at once")
    if not all(_ID.fullmatch(one) for one in ids):
        raise ValueError("Expected command ids separated by commas")
    return ids


class CommandsQuery(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    ids: Annotated[
        tuple[str, ...],
        BeforeValidator(_ids),
        WithJsonSchema({"type": "string", "pattern": r"^[!-+\--~]{1,128}(,[!-+\--~]{1,128}){0,99}$"}),
        Field(description="Up to 100 command ids separated by commas."),
    ]


class QueuedCommands:
    def __init__(self, door: Door, reader: CommandReader) -> None:
        self._door = door
        self._reader = reader

    async def submit(self, call: Call) -> Reply:
        """All of the commands are accepted, in their order, or none."""
        document = await call.json(MAX_BODY)
        is_array = isinstance(document, list)
        members = document if is_array else [document]
        if not 1 <= len(members) <= MAX_COMMANDS:
            raise invalid([body_error("#", f"Expected 1 to {MAX_COMMANDS} commands.")])
        _add_key(call, document)
        origin = origin_of(call)
        envelopes, faults = [], []
        for number, member in enumerate(members):
            try:
                envelopes.append(self._reader.read(member, origin, f"#/{number}" if is_array else "#"))
            except NotACommand as refusal:
                faults += refusal.faults
            if len(faults) >= MAX_ERRORS:
                break
        if faults:
            raise invalid(faults[:MAX_ERRORS])
        await accept(self._door.acceptor, envelopes, "#/{}/id" if is_array else "#/id")
        commands = [AcceptedCommand(e.command_id, command_url(e.command_id)) for e in envelopes]
        return json_reply(202, AcceptedCommands(commands))

    async def status(self, call: Call) -> Reply:
        command_id = call.path["id"]
        found = await self._known([command_id], call)
        if not found:
            raise Problem(COMMAND_NOT_FOUND, f"There is no command {command_id}.")
        return json_reply(200, _status(found[command_id]), (b"cache-control", b"no-store"))

    async def statuses(self, call: Call) -> Reply:
        query = validate_parameters(CommandsQuery, call.query())
        found = await self._known(query.ids, call)
        items = [_status(found[one]) for one in query.ids if one in found]
        return json_reply(200, CommandStatuses(items), (b"cache-control", b"no-store"))

    async def _known(self, ids: list[str] | tuple[str, ...], call: Call) -> Mapping[str, Receipt]:
        """The receipts; if the client prefers to wait, once all of those that are known have ended."""
        with unavailable_when_down():
            found = await self._door.receipts.find(ids)
            wait = read_preference(call.header(b"prefer")).wait
            going_on = [i for i, receipt in found.items() if not receipt.has_ended]
            if wait and going_on:
                await self._door.endings.wait(going_on, wait)
                found = await self._door.receipts.find(ids)
        return found


def _add_key(call: Call, document: Any) -> None:
    """An Idempotency-Key is the id of a single command."""
    key = idempotency_key(call)
    if key is None:
        return
    if not isinstance(document, dict) or document.get("id") not in (None, key):
        detail = "Give a single command's id once: as Idempotency-Key or as id. Those of an array have their own ids."
        raise Problem(problems.BAD_REQUEST, detail, members={"errors": [parameter_error("Idempotency-Key", detail)]})
    document["id"] = key


def _status(receipt: Receipt) -> CommandStatus:
    outcome = receipt.outcome
    return CommandStatus(
        receipt.command_id,
        receipt.type,
        receipt.status,
        rfc3339(receipt.submitted_at),
        None if receipt.completed_at is None else rfc3339(receipt.completed_at),
        outcome.result if outcome else None,
        outcome.problem if outcome else None,
        (outcome.token or None) if outcome else None,
    )


def operations(door: Door, reader: CommandReader) -> list[Operation]:
    queued = QueuedCommands(door, reader)
    return [
        Operation(
            "POST",
            "/commands",
            "SubmitCommands",
            "Accept one command, or up to 1,000, to be executed later",
            queued.submit,
            "queued commands",
            "Durable before it answers, also while the broker is down. All are accepted, or none. Commands about one "
            "target are executed in the order in which they were accepted.",
            body=_body_schema(reader),
            headers=(
                HeaderParameter(
                    "Idempotency-Key",
                    "The id of a single command that has none.",
                    {"type": "string", "pattern": "^[!-~]{1,128}$"},
                ),
            ),
            responses={202: ResponseDoc("Accepted.", AcceptedCommands)},
            problems=(
                problems.BAD_REQUEST,
                problems.NOT_JSON,
                problems.TOO_LARGE,
                problems.UNSUPPORTED_MEDIA_TYPE,
                KEY_REUSED,
                *_READING,
            ),
        ),
        Operation(
            "GET",
            "/commands",
            "GetCommands",
            "What has become of several commands",
            queued.statuses,
            "queued commands",
            "In the order asked for, unknown ones left out. With `Prefer: wait=N`, once all of them have ended.",
            query=CommandsQuery,
            headers=(_WAIT,),
            responses={200: ResponseDoc("Those that are known.", CommandStatuses)},
            problems=_READING,
        ),
        Operation(
            "GET",
            "/commands/{id}",
            "GetCommand",
            "What has become of a command, whichever way it came",
            queued.status,
            "queued commands",
            path_parameters={"id": _ID_PARAMETER},
            headers=(_WAIT,),
            responses={200: ResponseDoc("What is known.", CommandStatus)},
            problems=(*_READING, COMMAND_NOT_FOUND),
        ),
    ]


def _body_schema(reader: CommandReader) -> dict[str, Any]:
    schemas = command_schemas(reader.types, reader.creating, REFERENCE)
    schemas["Command"] = {
        "oneOf": [{"$ref": REFERENCE.format(model=command_schema_name(name))} for name in reader.types]
    }
    reference = {"$ref": REFERENCE.format(model="Command")}
    return {
        "anyOf": [reference, {"type": "array", "items": reference, "minItems": 1, "maxItems": MAX_COMMANDS}],
        "examples": [_EXAMPLE],
        "$defs": schemas,
    }
