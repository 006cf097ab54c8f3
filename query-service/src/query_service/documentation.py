"""What the documentation of every query has in common."""

from typing import Any, Final

from pydantic import BaseModel

from chassis.http import Handler, Operation, PathParameter, ResponseDoc
from chassis.problems import INTERNAL, INVALID, METHOD_NOT_ALLOWED, UNAVAILABLE, ProblemType
from query_service.answers import REQUEST_HEADERS, RESPONSE_HEADERS
from query_service.problems import INVALID_TOKEN, READ_MODEL_BEHIND

_ALWAYS: Final = (INVALID_TOKEN, INVALID, INTERNAL, READ_MODEL_BEHIND, UNAVAILABLE, METHOD_NOT_ALLOWED)


def query(
    path: str,
    name: str,
    summary: str,
    handler: Handler,
    tag: str,
    answer: Any,
    *,
    description: str = "",
    path_parameters: dict[str, PathParameter] | None = None,
    parameters: type[BaseModel] | None = None,
    not_found: tuple[ProblemType, ...] = (),
    paged: bool = False,
) -> Operation:
    """An operation that answers GET and HEAD, with a body of the schema of `answer`."""
    headers = dict(RESPONSE_HEADERS)
    if paged:
        headers["Link"] = 'The next page, `rel="next"`; absent on the last one.'
    return Operation(
        method="GET",
        path=path,
        name=name,
        summary=summary,
        handler=handler,
        tag=tag,
        description=description,
        path_parameters=path_parameters or {},
        query=parameters,
        headers=REQUEST_HEADERS,
        responses={
            200: ResponseDoc("The answer.", answer, headers),
            304: ResponseDoc("The client holds the answer already.", None, RESPONSE_HEADERS),
        },
        problems=(*not_found, *_ALWAYS),
    )
