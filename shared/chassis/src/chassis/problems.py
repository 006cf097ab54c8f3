"""Problem details for HTTP (RFC 9457): how every error looks to a client.

A service registers its own problem types beside these; each has a stable slug, and ``/problems/<slug>`` explains it.
"""

from dataclasses import dataclass
from typing import Any, Final

import orjson

MEDIA_TYPE: Final = b"application/problem+json"


@dataclass(frozen=True, slots=True)
class ProblemType:
    """A kind of error. `explanation` says what it means and what the caller can do."""

    slug: str
    status: int
    title: str
    explanation: str


class Problem(Exception):
    """Ends a request with a problem document. `members` are extension members such as ``errors`` or ``lines``."""

    def __init__(
        self,
        kind: ProblemType,
        detail: str,
        *,
        members: dict[str, Any] | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.members = members or {}
        self.headers = headers

    def document(self) -> dict[str, Any]:
        return problem_document(self.kind, self.detail, self.members)


def problem_document(kind: ProblemType, detail: str, members: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "type": f"/problems/{kind.slug}",
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
        **(members or {}),
    }


def body_error(pointer: str, detail: str) -> dict[str, str]:
    """One entry of ``errors`` for a place in the body: a JSON pointer in URI fragment form such as ``#/price``."""
    return {"pointer": pointer, "detail": detail}


def parameter_error(parameter: str, detail: str) -> dict[str, str]:
    """One entry of ``errors`` for a path or query parameter or a header."""
    return {"parameter": parameter, "detail": detail}


def encode(document: dict[str, Any]) -> bytes:
    return orjson.dumps(document, default=str)


BAD_REQUEST = ProblemType(
    "bad-request", 400, "Bad request", "The request can't be read: a header has a form that is not defined for it."
)
NOT_JSON = ProblemType(
    "not-json", 400, "The body is not JSON", "Send one JSON document as RFC 8259 defines it, in UTF-8."
)
INVALID = ProblemType(
    "invalid-input",
    422,
    "The input breaks the schema",
    "The request can be read, but a field or parameter is missing, unknown, of the wrong type or out of range. "
    "`errors` names each place and what is expected there. Nothing was written.",
)
TOO_LARGE = ProblemType(
    "body-too-large", 413, "The body is too large", "Send a smaller body; `detail` names the limit in bytes."
)
UNSUPPORTED_MEDIA_TYPE = ProblemType(
    "unsupported-media-type", 415, "Unsupported media type", "Send the body with `Content-Type: application/json`."
)
NOT_FOUND = ProblemType(
    "not-found", 404, "Not found", "There is nothing at this address. `/openapi.json` lists what is."
)
METHOD_NOT_ALLOWED = ProblemType(
    "method-not-allowed",
    405,
    "Method not allowed",
    "The address exists, but not for this method; `Allow` lists those it has.",
)
INTERNAL = ProblemType(
    "internal-error",
    500,
    "Something went wrong on our side",
    "The fault is ours and was logged under the correlation id. A command repeated with the same Idempotency-Key never "
    "happens twice.",
)
UNAVAILABLE = ProblemType(
    "unavailable",
    503,
    "Temporarily unavailable",
    "A server that this service stands on can't be reached just now. Try again after `Retry-After` seconds; a command "
    "repeated with the same Idempotency-Key never happens twice.",
)

COMMON: Final = (
    BAD_REQUEST,
    NOT_JSON,
    INVALID,
    TOO_LARGE,
    UNSUPPORTED_MEDIA_TYPE,
    NOT_FOUND,
    METHOD_NOT_ALLOWED,
    INTERNAL,
    UNAVAILABLE,
)
