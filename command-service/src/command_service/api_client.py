"""How this service's own clients speak to the command API: every request is tried again while nobody answers."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import httpx
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

RETRY_SECONDS: Final[float] = 60
"""Seconds for which a request is tried again while the service can't be reached."""

_PROBLEM: Final = "application/problem+json"


class ImportRefused(Exception):
    """The file as a whole can't be imported."""


class Unreachable(Exception):
    """The service did not answer, or said that it can't just now."""


class NotStockroom(Exception):
    """Something else answered at the address."""


async def send(
    client: httpx.AsyncClient, method: str, url: str, *, seconds: float | None = None, **request: Any
) -> httpx.Response:
    """The answer to a request that may be sent again, which is done for so many seconds (default: `RETRY_SECONDS`).

    Raises:
        Unreachable: nobody answered in that time, or all answers were 5xx.
        NotStockroom: the address is none.
    """
    retrying = AsyncRetrying(
        stop=stop_after_delay(RETRY_SECONDS if seconds is None else seconds),
        wait=wait_random_exponential(multiplier=0.2, max=5),
        retry=retry_if_exception_type(Unreachable),
        reraise=True,
    )
    async for attempt in retrying:
        with attempt:
            try:
                response = await client.request(method, url, **request)
            except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
                raise NotStockroom(str(error)) from error
            except httpx.TransportError as error:
                raise Unreachable(type(error).__name__) from error
            if response.status_code >= 500:
                raise Unreachable(f"status {response.status_code}")
    return response


def problem_of(response: httpx.Response) -> dict[str, Any]:
    """The problem document of an answer that is no success.

    Raises:
        NotStockroom: it has none.
    """
    if not response.headers.get("content-type", "").startswith(_PROBLEM):
        raise NotStockroom(f"it answered {response.status_code} without a problem document")
    problem: dict[str, Any] = response.json()
    return problem


def problem_text(problem: dict[str, Any]) -> str:
    """A problem in one line."""
    faults = [f"{e.get('pointer', '')[2:]}: {e['detail']}" for e in problem.get("errors", ())]
    return f"{problem['title']}: {'; '.join(faults) or problem['detail']}"


@contextmanager
def refusing(url: str) -> Iterator[None]:
    """Says in one clear message why an import can't go on, however deep in a task group that shows.

    Raises:
        ImportRefused: alone, and in the place of `Unreachable` and `NotStockroom`.
    """
    refusal: ImportRefused | None = None
    try:
        yield
    except* Unreachable as unreachable:
        refusal = ImportRefused(
            f"{url} can't be reached ({_first(unreachable)}). Is the command service running? "
            "Repeat the import then: what is there already is not done twice."
        )
    except* NotStockroom as other:
        refusal = ImportRefused(f"{url} is not Stockroom's command API: {_first(other)}.")
    except* ImportRefused as refused:
        refusal = ImportRefused(str(_first(refused)))
    # Not in the handlers: there it would come out as a group.
    if refusal is not None:
        raise refusal


def _first(group: BaseExceptionGroup[Exception]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
