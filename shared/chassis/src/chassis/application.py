"""A FastAPI application that serves a table of operations without detours.

An operation's request goes straight to its handler; everything else (documentation, health, metrics, explanations of
problems) is FastAPI's. Every error, wherever it comes from, leaves as a problem document, and none with a traceback.
See decisions/0001-operations-before-fastapi.md.
"""

import re
import time
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from fastapi import FastAPI, Request, Response
from prometheus_client import REGISTRY
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from chassis import problems
from chassis.body import invalid
from chassis.http import Call, Operation, Reply, problem_reply
from chassis.http_metrics import RequestSeconds
from chassis.ids import new_id
from chassis.logging import bind, get_logger
from chassis.problems import Problem, ProblemType, parameter_error

log = get_logger(__name__)

_CORRELATION: Final = re.compile(rb"[\x21-\x7e]{1,128}\Z")
_SECONDS: Final = RequestSeconds(REGISTRY)


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
        await send({"type": "http.response.start", "status": reply.status, "headers": with_length(reply)})
        await send({"type": "http.response.body", "body": reply.body})
        _SECONDS.observe(operation, reply.status, time.perf_counter() - started)

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


def with_length(reply: Reply) -> list[tuple[bytes, bytes]]:
    """A reply's headers as they are sent."""
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
