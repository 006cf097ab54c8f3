"""Does again what has failed by something that passes by itself."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential

from chassis.logging import get_logger

log = get_logger(__name__)

T = TypeVar("T")

Passing = tuple[type[BaseException], ...] | Callable[[BaseException], bool]
"""The errors that pass by themselves: their types, or what tells them."""


async def persist(passing: Passing, action: Callable[[], Awaitable[T]]) -> T:
    """The result of `action`, tried until it is there, with pauses of up to 2 seconds; logs what it waits for."""

    def passes(error: BaseException) -> bool:
        return isinstance(error, passing) if isinstance(passing, tuple) else passing(error)

    def tell(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        log.warning("waiting_for_server", reason=f"{type(error).__name__}: {error}", attempt=state.attempt_number)

    retrying = AsyncRetrying(
        retry=retry_if_exception(passes), wait=wait_random_exponential(multiplier=0.1, max=2.0), before_sleep=tell
    )

    async def attempt() -> T:
        return await action()

    return await retrying(attempt)
