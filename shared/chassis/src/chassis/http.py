"""HTTP as operations see it: the call, the reply, and the table row that documents both.

`chassis.application` serves such rows.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson
from pydantic import BaseModel
from starlette.types import Message, Receive, Scope

from chassis import problems
from chassis.body import invalid, parse_json
from chassis.logging import get_logger
from chassis.problems import Problem, ProblemType, parameter_error

log = get_logger(__name__)

MAX_BODY: Final = 256 * 1024
"""Bytes that a request body may have where the operation says nothing else."""

_DRAIN: Final = 64 * 1024 * 1024
"""Bytes of a refused body that are still read, so that the client gets to see the answer."""

_JSON: Final = (b"content-type", b"application/json")
_PROBLEM: Final = (b"content-type", problems.MEDIA_TYPE)


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
    def target(self) -> str:
        """Path and query as they were sent."""
        return f"{self.raw_path}?{bytes(self._scope['query_string']).decode('latin-1')}"

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
