"""How every command comes in over HTTP: one table row each, one handler for all.

A route parses, sends and renders. Checks come in this order: body and path (400, 413, 415, 422), the command's id
(422), existence (404), expected version (412), the rules (409).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

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
from chassis.ids import new_id
from chassis.problems import Problem, ProblemType, body_error, parameter_error
from command_service.decider import Command
from command_service.envelope import (
    RETRY_AFTER,
    CommandEnvelope,
    ExecutionFailed,
    ExpectedVersion,
    KeyReused,
    Outcome,
    Unavailable,
    fingerprint_of,
)
from command_service.fields import USER_ID_PATTERN
from command_service.mediator import Mediator
from command_service.problems import KEY_REUSED, VERSION_MISMATCH

_KEY: Final = re.compile(r"[\x21-\x7e]{1,128}")
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_ENTITY_TAG: Final = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_VERSION_TAG: Final = re.compile(r"(0|[1-9][0-9]{0,9})(-[0-9a-f]{16})?")

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
    has_body: bool = True


def operations(mediator: Mediator, routes: tuple[CommandRoute, ...]) -> list[Operation]:
    return [_operation(mediator, route) for route in routes]


def _operation(mediator: Mediator, route: CommandRoute) -> Operation:
    names = re.findall(r"\{(\w+)\}", route.path)
    creates = route.location is not None
    fields = _path_fields(route)
    return Operation(
        method=route.method,
        path=route.path,
        name=route.command.__name__,
        summary=route.summary,
        description=route.command.__doc__ or "",
        tag=route.tag,
        handler=_handler(mediator, route, fields),
        path_parameters={name: USER_ID_PARAMETER if name == "user_id" else UUID_PARAMETER for name in names},
        body=_body_schema(route.command, fields) if route.has_body else None,
        headers=_HEADERS if creates else (*_HEADERS, _IF_MATCH),
        responses={201: _created(route)} if creates else {204: ResponseDoc("Done.", headers=_SUCCESS_HEADERS)},
        problems=(*_ALWAYS, *route.problems, *(() if creates else (VERSION_MISMATCH,))),
    )


def _path_fields(route: CommandRoute) -> dict[str, str]:
    """Path parameter → the command's field: ``/products/{id}`` is a command's `product_id`."""
    fields = {}
    for name in re.findall(r"\{(\w+)\}", route.path):
        fields[name] = name if name in route.command.model_fields else f"{route.path.split('/')[1][:-1]}_id"
    return fields


def _body_schema(command: type[Command], fields: Mapping[str, str]) -> dict[str, Any]:
    schema = command.model_json_schema()
    for field in fields.values():
        schema["properties"].pop(field)
        schema["required"] = [name for name in schema.get("required", []) if name != field]
    if not schema.get("required"):
        schema.pop("required", None)
        schema["minProperties"] = 1
    return schema


def _created(route: CommandRoute) -> ResponseDoc:
    schema = {
        "type": "object",
        "required": ["id"],
        "properties": {"id": {"type": "string", "format": "uuid"}},
    }
    return ResponseDoc("Created.", schema, {**_SUCCESS_HEADERS, "Location": f"`{route.location}`"})


def _handler(mediator: Mediator, route: CommandRoute, fields: Mapping[str, str]) -> Handler:
    creates = route.location is not None

    async def handle(call: Call) -> Reply:
        document = _with_path(await call.json(), call.path, fields, route.has_body)
        command = validate(route.command, document)
        envelope = make_envelope(call, command, _expected_version(call, creates=creates))
        outcome = await send(mediator, envelope)
        return render(outcome, route.location)

    return handle


def _with_path(document: Any, path: Mapping[str, str], fields: Mapping[str, str], has_body: bool) -> dict[str, Any]:
    """The command's data: the body's members and the path's values."""
    if document is None:
        if has_body:
            raise invalid([body_error("#", "This command needs a JSON object as its body.")])
        document = {}
    if not isinstance(document, dict):
        raise invalid([body_error("#", "Expected a JSON object.")])
    for name, field in fields.items():
        if field in document:
            raise invalid([body_error(f"#/{field}", "This field is not known here; the path says it.")])
        document[field] = path[name]
    return document


def make_envelope(call: Call, command: Command, expected: ExpectedVersion | None) -> CommandEnvelope:
    """The command with its id (the Idempotency-Key, or a new one) and where it comes from."""
    key = call.header(b"idempotency-key")
    if key is not None and not _KEY.fullmatch(key):
        detail = "Idempotency-Key is 1 to 128 visible ASCII characters."
        raise Problem(problems.BAD_REQUEST, detail, members={"errors": [parameter_error("Idempotency-Key", detail)]})
    traceparent = call.header(b"traceparent")
    return CommandEnvelope(
        command=command.identified(new_id()),
        command_id=key or new_id(),
        fingerprint=fingerprint_of(command, expected),
        correlation_id=call.correlation_id,
        causation_id=call.correlation_id,
        submitted_at=datetime.now(UTC),
        expected_version=expected,
        traceparent=traceparent if traceparent and _TRACEPARENT.fullmatch(traceparent) else None,
    )


def _expected_version(call: Call, *, creates: bool) -> ExpectedVersion | None:
    header = call.header(b"if-match")
    if header is None:
        return None
    if creates:
        raise _bad_if_match("If-Match has no meaning where something new is created; leave it out.")
    return parse_if_match(header)


def parse_if_match(header: str) -> ExpectedVersion:
    """What the client expects. Weak tags, and tags that are no version, match nothing.

    Raises:
        Problem: 400, the header is no list of entity tags.
    """
    if header.strip() == "*":
        return ExpectedVersion(None)
    versions = set()
    at = 0
    while True:
        tag = _ENTITY_TAG.match(header, at)
        if tag is None:
            raise _bad_if_match('If-Match is an entity tag such as "3", a list of them, or *.')
        version = _VERSION_TAG.fullmatch(tag[2])
        if version is not None and tag[1] is None:
            versions.add(int(version[1]))
        rest = header[tag.end() :].lstrip(" \t")
        if not rest:
            return ExpectedVersion(frozenset(versions))
        if not rest.startswith(","):
            raise _bad_if_match("The entity tags of If-Match are separated by commas.")
        at = len(header) - len(rest[1:].lstrip(" \t"))


def _bad_if_match(detail: str) -> Problem:
    return Problem(problems.BAD_REQUEST, detail, members={"errors": [parameter_error("If-Match", detail)]})


async def send(mediator: Mediator, envelope: CommandEnvelope) -> Outcome:
    """The outcome of the command.

    Raises:
        Problem: 422 when its key was used for something else, 500 or 503 when the fault is ours.
    """
    try:
        return await mediator.send(envelope)
    except KeyReused:
        raise Problem(KEY_REUSED, "This Idempotency-Key came before with another content.") from None
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
