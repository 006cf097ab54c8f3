"""HTTP for a service: a table of operations, served without detours and documented in OpenAPI.

An operation's request goes straight to its handler; everything else (documentation, health, metrics, explanations of
problems) is FastAPI's. Every error, wherever it comes from, leaves as a problem document, and none with a traceback.
See decisions/0001-operations-before-fastapi.md.
"""

import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, unquote_to_bytes

import orjson
from fastapi import FastAPI, Request, Response
from prometheus_client import Histogram
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from chassis import problems
from chassis.body import invalid, parse_json
from chassis.ids import new_id
from chassis.logging import bind, get_logger
from chassis.problems import Problem, ProblemType, parameter_error

log = get_logger(__name__)

MAX_BODY: Final = 256 * 1024
"""Bytes that a request body may have where the operation says nothing else."""

_DRAIN: Final = 64 * 1024 * 1024
"""Bytes of a refused body that are still read, so that the client gets to see the answer."""

_JSON: Final = (b"content-type", b"application/json")
_PROBLEM: Final = (b"content-type", problems.MEDIA_TYPE)
_CORRELATION: Final = re.compile(rb"[\x21-\x7e]{1,128}\Z")
_SECONDS: Final = Histogram(
    "stockroom_http_request_seconds",
    "Time from a request's arrival to its answer.",
    ["operation", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 30),
)


@dataclass(frozen=True, slots=True)
class Reply:
    """What an operation answers."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()


def json_reply(status: int, document: Any, *headers: tuple[bytes, bytes]) -> Reply:
    return Reply(status, orjson.dumps(document), (_JSON, *headers))


def problem_reply(document: dict[str, Any], *headers: tuple[bytes, bytes]) -> Reply:
    return Reply(document["status"], problems.encode(document), (_PROBLEM, *headers))


class Call:
    """One request: its path values (validated), headers, query and body."""

    __slots__ = ("_receive", "_scope", "correlation_id", "path")

    def __init__(self, scope: Scope, receive: Receive, path: dict[str, str], correlation_id: str) -> None:
        self._scope = scope
        self._receive = receive
        self.path = path
        self.correlation_id = correlation_id

    @property
    def method(self) -> str:
        return str(self._scope["method"])

    @property
    def raw_path(self) -> str:
        """The path as it was sent, percent-encoded."""
        return bytes(self._scope["raw_path"]).decode("latin-1")

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """All headers as they came, names in lower case."""
        headers: list[tuple[bytes, bytes]] = self._scope["headers"]
        return headers

    @property
    def has_query(self) -> bool:
        """Whether anything but nothing stands behind the question mark."""
        return bool(self._scope["query_string"])

    def header(self, name: bytes) -> str | None:
        """A header by its lower-case name; several of one name are joined by commas; None when absent."""
        values = [value for key, value in self._scope["headers"] if key == name]
        if not values:
            return None
        return (values[0] if len(values) == 1 else b",".join(values)).decode("latin-1")

    def query(self) -> list[tuple[str, str]]:
        """The query's names and values, decoded."""
        raw = self._scope["query_string"]
        if not raw:
            return []
        try:
            return parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=100)
        except ValueError:
            raise invalid([parameter_error("query", "The query is not percent-encoded UTF-8.")]) from None

    async def body(self, limit: int = MAX_BODY) -> bytes:
        """The whole body.

        Raises:
            Problem: 413 when it has more than `limit` bytes, 400 when the client left in its middle.
        """
        declared = self.header(b"content-length")
        if declared is not None and declared.isdecimal() and int(declared) > limit:
            await self._drain(0)
            raise _too_large(limit)
        message = await self._next()
        chunk: bytes = message.get("body", b"")
        if not message.get("more_body", False) and len(chunk) <= limit:
            return chunk
        chunks, size = [chunk], len(chunk)
        while message.get("more_body", False):
            if size > limit:
                await self._drain(size)
                raise _too_large(limit)
            message = await self._next()
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
        if size > limit:
            raise _too_large(limit)
        return b"".join(chunks)

    async def _next(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            # What has come so far may look whole; nobody may act on it.
            raise Problem(problems.BAD_REQUEST, "The request ended before its body did.")
        return message

    async def _drain(self, size: int) -> None:
        while size <= _DRAIN:
            message = await self._receive()
            size += len(message.get("body", b""))
            if not message.get("more_body", False):
                return

    async def json(self, limit: int = MAX_BODY) -> Any:
        """The body parsed as JSON; an empty body is None.

        Raises:
            Problem: 400, 413, 415 or 422.
        """
        raw = await self.body(limit)
        if not raw:
            return None
        media_type = self.header(b"content-type")
        if media_type is not None and media_type != "application/json":
            essence = media_type.partition(";")[0].strip().lower()
            if essence != "application/json" and not (essence.startswith("application/") and essence.endswith("+json")):
                raise Problem(
                    problems.UNSUPPORTED_MEDIA_TYPE,
                    f"The body's Content-Type is {essence or 'empty'}; send it as application/json.",
                )
        return parse_json(raw)


def _too_large(limit: int) -> Problem:
    return Problem(problems.TOO_LARGE, f"The body has more than {limit} bytes.")


Handler = Callable[[Call], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class PathParameter:
    """A value in the path. `pattern` must match it whole, else the request is answered 422 with `expected`."""

    pattern: re.Pattern[str]
    expected: str
    schema: dict[str, Any]
    normalise: Callable[[str], str] = str


UUID_PARAMETER: Final = PathParameter(
    re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"),
    "a UUID such as 0190a5f0-7c3e-7b1a-9d2e-3f4a5b6c7d8e",
    {"type": "string", "format": "uuid"},
    str.lower,
)


@dataclass(frozen=True, slots=True)
class HeaderParameter:
    """A request header, for the documentation."""

    name: str
    description: str
    schema: dict[str, Any] = field(default_factory=lambda: {"type": "string"})


@dataclass(frozen=True, slots=True)
class ResponseDoc:
    """A response, for the documentation. `model` is a Pydantic model, a dataclass or None for no body."""

    description: str
    model: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    media_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Operation:
    """One row of a service's table: where it is, who handles it, and what its documentation says."""

    method: str
    path: str
    name: str
    summary: str
    handler: Handler
    tag: str
    description: str = ""
    path_parameters: dict[str, PathParameter] = field(default_factory=dict)
    query: type[BaseModel] | None = None
    body: Any = None
    """A Pydantic model, or a JSON schema, for the documentation."""
    body_required: bool = True
    headers: tuple[HeaderParameter, ...] = ()
    responses: dict[int, ResponseDoc] = field(default_factory=dict)
    problems: tuple[ProblemType, ...] = ()


class _Node:
    """A path segment: what literal segments and what value may follow, and the operations that end here."""

    __slots__ = ("literals", "operations", "value")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.value: _Node | None = None
        self.operations: dict[str, Operation] = {}


class OperationTable:
    """Finds an operation by method and path. A literal segment is preferred to a value."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        self._root = _Node()
        for operation in operations:
            node = self._root
            for segment in operation.path.split("/")[1:]:
                if segment.startswith("{"):
                    node.value = node.value or _Node()
                    node = node.value
                else:
                    node = node.literals.setdefault(segment, _Node())
            node.operations[operation.method] = operation
            if operation.method == "GET":
                node.operations["HEAD"] = operation

    def find(self, segments: list[str]) -> tuple[dict[str, Operation], list[str]] | None:
        """The operations at a path by their methods, and the path's values in order."""
        values: list[str] = []
        node = self._root
        for segment in segments:
            follower = node.literals.get(segment)
            if follower is None:
                follower = node.value
                if follower is None or not segment:
                    return None
                values.append(segment)
            node = follower
        return (node.operations, values) if node.operations else None


class Service(FastAPI):
    """A FastAPI application whose operations are served from a table, ahead of FastAPI's own routing."""

    def __init__(
        self, *, operations: Sequence[Operation], problem_types: Sequence[ProblemType], **options: Any
    ) -> None:
        super().__init__(redirect_slashes=False, openapi_url=None, docs_url=None, redoc_url=None, **options)
        self.operations = tuple(operations)
        self.problem_types = {kind.slug: kind for kind in (*problems.COMMON, *problem_types)}
        self._table = OperationTable(operations)
        self._seconds: dict[tuple[str, int], Any] = {}
        self.add_exception_handler(HTTPException, _http_exception)  # type: ignore[arg-type]
        self.add_exception_handler(Exception, _unexpected)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = None
        if scope["type"] == "http":
            raw_path: bytes = scope["raw_path"]
            segments = raw_path.partition(b"?")[0].decode("latin-1").split("/")[1:]
            found = self._table.find(segments)
        if found is None:
            await super().__call__(scope, receive, send)
            return
        started = time.perf_counter()
        operation, reply = await self._answer(scope, receive, *found)
        await send({"type": "http.response.start", "status": reply.status, "headers": _with_length(reply)})
        await send({"type": "http.response.body", "body": reply.body})
        key = (operation, reply.status)
        observer = self._seconds.get(key)
        if observer is None:
            observer = self._seconds[key] = _SECONDS.labels(operation, str(reply.status))
        observer.observe(time.perf_counter() - started)

    async def _answer(
        self, scope: Scope, receive: Receive, operations: dict[str, Operation], values: list[str]
    ) -> tuple[str, Reply]:
        correlation_id = _correlation_id(scope)
        bind("correlation_id", correlation_id)
        operation = operations.get(scope["method"])
        name = operation.name if operation else "none"
        try:
            if operation is None:
                allowed = ", ".join(sorted(operations))
                raise Problem(
                    problems.METHOD_NOT_ALLOWED,
                    f"This address takes {allowed}, not {scope['method']}.",
                    headers=((b"allow", allowed.encode()),),
                )
            call = Call(scope, receive, _path_values(operation, values), correlation_id)
            return name, await operation.handler(call)
        except Problem as problem:
            return name, problem_reply(problem.document(), *problem.headers, _named(correlation_id))
        except Exception:
            log.exception("request_failed", operation=name)
            return name, problem_reply(_internal_document(), _named(correlation_id))


def _with_length(reply: Reply) -> list[tuple[bytes, bytes]]:
    if reply.status in (204, 304):
        return list(reply.headers)
    return [*reply.headers, (b"content-length", str(len(reply.body)).encode())]


def _correlation_id(scope: Scope) -> str:
    for key, value in scope["headers"]:
        if key == b"x-correlation-id" and _CORRELATION.match(value):
            return bytes(value).decode()
    return new_id()


def _named(correlation_id: str) -> tuple[bytes, bytes]:
    """The header by which a client can tell operators which entries of the logs are about its error."""
    return b"x-correlation-id", correlation_id.encode()


def _path_values(operation: Operation, values: list[str]) -> dict[str, str]:
    path: dict[str, str] = {}
    for (name, parameter), raw in zip(operation.path_parameters.items(), values, strict=True):
        try:
            value = unquote_to_bytes(raw).decode() if "%" in raw else raw
        except UnicodeDecodeError:
            value = ""
        if not parameter.pattern.fullmatch(value):
            raise invalid([parameter_error(name, f"Expected {parameter.expected}.")])
        path[name] = parameter.normalise(value)
    return path


def _internal_document() -> dict[str, Any]:
    return problems.problem_document(problems.INTERNAL, "The fault is ours; it was logged.")


async def _http_exception(_request: Request, error: HTTPException) -> Response:
    if error.status_code == 404:
        document = problems.problem_document(problems.NOT_FOUND, "There is nothing at this address.")
    elif error.status_code == 405:
        document = problems.problem_document(problems.METHOD_NOT_ALLOWED, "This address does not take this method.")
    else:
        document = problems.problem_document(problems.BAD_REQUEST, str(error.detail)) | {"status": error.status_code}
    headers = {**(error.headers or {}), "content-type": problems.MEDIA_TYPE.decode()}
    return Response(problems.encode(document), error.status_code, headers)


async def _unexpected(_request: Request, _error: Exception) -> Response:
    return Response(problems.encode(_internal_document()), 500, {"content-type": problems.MEDIA_TYPE.decode()})
