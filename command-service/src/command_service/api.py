"""How every command comes in over HTTP: one table row each, one handler for all.

A route parses, sends and renders; or, where the client prefers it, has the command accepted for later. Checks come in
this order: body and path (400, 413, 415, 422), the command's id (422), existence (404), expected version (412), the
rules (409).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Final, Literal
from urllib.parse import quote

from chassis import problems
from chassis.body import invalid, validate
from chassis.http import (
    UUID_PARAMETER,
    Call,
    Handler,
    HeaderParameter,
    Operation,
    PathParameter,
    Reply,
    ResponseDoc,
    json_reply,
    problem_reply,
)
from chassis.openapi import REFERENCE
from chassis.prefer import MAX_WAIT, Preference, read_preference
from chassis.problems import Problem, ProblemType, body_error
from command_service.calls import expected_version, make_envelope
from command_service.database import unavailable_when_down
from command_service.decider import Command
from command_service.envelope import (
    RETRY_AFTER,
    CommandEnvelope,
    ExecutionFailed,
    KeyReused,
    Outcome,
    Unavailable,
)
from command_service.fields import USER_ID_PATTERN
from command_service.mediator import Mediator
from command_service.problems import KEY_REUSED, VERSION_MISMATCH
from command_service.queue.accepting import Acceptor
from command_service.queue.receipts import Receipts
from command_service.queue.waiting import Endings

_ALWAYS: Final = (
    problems.BAD_REQUEST,
    problems.NOT_JSON,
    problems.TOO_LARGE,
    problems.UNSUPPORTED_MEDIA_TYPE,
    problems.INVALID,
    KEY_REUSED,
    problems.METHOD_NOT_ALLOWED,
    problems.INTERNAL,
    problems.UNAVAILABLE,
)

_HEADERS: Final = (
    HeaderParameter(
        "Idempotency-Key",
        "The command's id. The same key with the same content gives the first outcome again, and nothing twice.",
        {"type": "string", "pattern": "^[!-~]{1,128}$"},
    ),
    HeaderParameter(
        "Prefer",
        "`respond-async`: accept the command and answer 202 at once. With `wait=N` as well: answer as without it, if "
        f"the command ends within N seconds (at most {MAX_WAIT}), else 202.",
    ),
)
ACCEPTED: Final = ResponseDoc(
    "Accepted; it will be executed.",
    headers={"Location": "`/commands/{id}`", "Preference-Applied": "What was preferred."},
)
_IF_MATCH: Final = HeaderParameter(
    "If-Match",
    'Refuse (412) unless the current version is this one: `"3"`, `"3-<hash>"`, or `*` for "exists".',
    {"type": "string", "examples": ['"3"', "*"]},
)
_SUCCESS_HEADERS: Final = {
    "ETag": 'The version after the command: `"<version>"`.',
    "Consistency-Token": "Send it with a query, and the answer has seen this command.",
}

USER_ID_PARAMETER: Final = PathParameter(
    re.compile(USER_ID_PATTERN[1:-1]),
    "1–64 visible ASCII characters without /",
    {"type": "string", "pattern": USER_ID_PATTERN},
)


@dataclass(frozen=True, slots=True)
class CommandRoute:
    """Where a command is sent to, and what its documentation says. `location` is set where something is created."""

    method: Literal["POST", "PUT", "PATCH", "DELETE"]
    path: str
    command: type[Command]
    tag: str
    summary: str
    problems: tuple[ProblemType, ...]
    location: str | None = None
    body: Literal["required", "optional", "none"] = "required"

    @property
    def creates(self) -> bool:
        return self.location is not None


@dataclass(frozen=True, slots=True)
class Door:
    """By which commands go in: at once through the mediator, or accepted for later."""

    mediator: Mediator
    acceptor: Acceptor
    endings: Endings
    receipts: Receipts


def operations(door: Door, routes: tuple[CommandRoute, ...]) -> list[Operation]:
    return [_operation(door, route) for route in routes]


def _operation(door: Door, route: CommandRoute) -> Operation:
    names = re.findall(r"\{(\w+)\}", route.path)
    fields = _path_fields(route)
    done = {201: _created(route)} if route.creates else {204: ResponseDoc("Done.", headers=_SUCCESS_HEADERS)}
    return Operation(
        method=route.method,
        path=route.path,
        name=route.command.__name__,
        summary=route.summary,
        description=route.command.__doc__ or "",
        tag=route.tag,
        handler=_handler(door, route, fields),
        path_parameters={name: USER_ID_PARAMETER if name == "user_id" else UUID_PARAMETER for name in names},
        body=None if route.body == "none" else _body_schema(route, fields),
        body_required=route.body == "required",
        headers=_HEADERS if route.creates else (*_HEADERS, _IF_MATCH),
        responses={**done, 202: ACCEPTED},
        problems=(*_ALWAYS, *route.problems, *(() if route.creates else (VERSION_MISMATCH,))),
    )


def _path_fields(route: CommandRoute) -> dict[str, str]:
    """Path parameter → the command's field: ``/products/{id}`` is a command's `product_id`."""
    fields = {}
    for name in re.findall(r"\{(\w+)\}", route.path):
        fields[name] = name if name in route.command.model_fields else f"{route.path.split('/')[1][:-1]}_id"
    return fields


def _body_schema(route: CommandRoute, fields: Mapping[str, str]) -> dict[str, Any]:
    schema = route.command.model_json_schema(ref_template=REFERENCE)
    for field in fields.values():
        schema["properties"].pop(field)
        schema["required"] = [name for name in schema.get("required", []) if name != field]
    if not schema.get("required"):
        schema.pop("required", None)
        if route.body == "required":
            schema["minProperties"] = 1
    return schema


def _created(route: CommandRoute) -> ResponseDoc:
    schema = {
        "type": "object",
        "required": ["id"],
        "properties": {"id": {"type": "string", "format": "uuid"}},
    }
    return ResponseDoc("Created.", schema, {**_SUCCESS_HEADERS, "Location": f"`{route.location}`"})


def _handler(door: Door, route: CommandRoute, fields: Mapping[str, str]) -> Handler:
    async def handle(call: Call) -> Reply:
        document = _with_path(await call.json(), call.path, fields, route.body)
        command = validate(route.command, document)
        envelope = make_envelope(call, command, expected_version(call, creates=route.creates))
        prefer = call.header(b"prefer")
        if prefer is not None and (preference := read_preference(prefer)).respond_async:
            return await _later(door, envelope, preference, route.location)
        outcome = await send(door.mediator, envelope)
        return render(outcome, route.location)

    return handle


async def _later(door: Door, envelope: CommandEnvelope, preference: Preference, location: str | None) -> Reply:
    """Accepted; and, if it ends in the time that the client waits, its very answer."""
    await accept(door.acceptor, [envelope])
    if preference.wait is not None:
        await door.endings.wait([envelope.command_id], preference.wait)
        receipt = None
        # Accepted it is, also when nobody can say just now what has become of it.
        with suppress(Problem), unavailable_when_down():
            receipt = (await door.receipts.find([envelope.command_id])).get(envelope.command_id)
        if receipt is not None and receipt.outcome is not None:
            answer = render(receipt.outcome, location)
            return replace(answer, headers=answer.headers + preference.applied())
    where = (b"location", command_url(envelope.command_id).encode())
    return Reply(202, b"", (where, *preference.applied()))


def command_url(command_id: str) -> str:
    """Where a command's receipt is."""
    return f"/commands/{quote(command_id, safe='')}"


def _with_path(document: Any, path: Mapping[str, str], fields: Mapping[str, str], body: str) -> dict[str, Any]:
    """The command's data: the body's members and the path's values."""
    if document is None:
        if body == "required":
            raise invalid([body_error("#", "This command needs a JSON object as its body.")])
        document = {}
    if not isinstance(document, dict):
        raise invalid([body_error("#", "Expected a JSON object.")])
    for name, field in fields.items():
        if field in document:
            raise invalid([body_error(f"#/{field}", "This field is not known here; the path says it.")])
        document[field] = path[name]
    return document


async def send(mediator: Mediator, envelope: CommandEnvelope) -> Outcome:
    """The outcome of the command.

    Raises:
        Problem: 422 when its key was used for something else, 500 or 503 when the fault is ours.
    """
    with _as_problems():
        return await mediator.send(envelope)


async def accept(acceptor: Acceptor, envelopes: Sequence[CommandEnvelope], places: str | None = None) -> None:
    """Returns when the commands are safe; raises as `send` does.

    `places` is where the id of each stands, such as ``#/{}/id``.
    """
    with _as_problems():
        try:
            await acceptor.accept(envelopes)
        except KeyReused as reused:
            if places is None:
                raise
            fault = body_error(places.format(reused.index), _REUSED)
            raise Problem(KEY_REUSED, _REUSED, members={"errors": [fault]}) from None


_REUSED: Final = "This id came before with another content."


@contextmanager
def _as_problems() -> Iterator[None]:
    try:
        yield
    except KeyReused:
        raise Problem(KEY_REUSED, _REUSED) from None
    except ExecutionFailed:
        raise Problem(problems.INTERNAL, "The fault is ours; it was logged. Nothing was written.") from None
    except Unavailable:
        retry = (b"retry-after", str(RETRY_AFTER).encode())
        detail = "The event store can't be reached. Repeat the command with the same Idempotency-Key."
        raise Problem(problems.UNAVAILABLE, detail, headers=(retry,)) from None


def render(outcome: Outcome, location: str | None) -> Reply:
    """The HTTP answer of an outcome: the same bytes whenever the same command is asked again."""
    if outcome.problem is not None:
        return problem_reply(outcome.problem)
    headers = (
        (b"etag", b'"%d"' % outcome.version),
        (b"consistency-token", outcome.token.encode()),
    )
    if location is None or outcome.result is None:
        return Reply(204, b"", headers)
    where = location.format(**outcome.result).encode()
    return json_reply(201, outcome.result, *headers, (b"location", where))
