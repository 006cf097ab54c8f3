"""Does again what has failed by something that passes by itself."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from chassis.logging import get_logger

log = get_logger(__name__)

T = TypeVar("T")


async def persist(passing: tuple[type[BaseException], ...], action: Callable[[], Awaitable[T]]) -> T:
    """The result of `action`, tried until it is there; with pauses of up to 2 seconds."""

    def tell(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        log.warning("waiting_for_server", reason=f"{type(error).__name__}: {error}", attempt=state.attempt_number)

    retrying = AsyncRetrying(
        retry=retry_if_exception_type(passing), wait=wait_random_exponential(multiplier=0.1, max=2.0), before_sleep=tell
    )

    async def attempt() -> T:
        return await action()

    return await retrying(attempt)
