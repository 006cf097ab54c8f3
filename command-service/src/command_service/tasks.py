"""Background tasks whose failure is never silent."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from types import TracebackType

from chassis.logging import get_logger
from chassis.tasks import end

log = get_logger(__name__)


class Tasks:
    """Runs coroutine functions beside the body of ``async with``, and cancels them at its end.

    One that fails takes the process down, by SIGTERM to itself, and its error is raised at the end: whoever supervises
    the process must get to know.
    """

    def __init__(self, *functions: Callable[[], Awaitable[None]]) -> None:
        self._functions = functions
        self._tasks: list[asyncio.Future[None]] = []

    async def __aenter__(self) -> None:
        for function in self._functions:
            task = asyncio.ensure_future(function())
            task.add_done_callback(self._stop_if_failed)
            self._tasks.append(task)

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await end(*self._tasks)
        for task in self._tasks:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error

    def _stop_if_failed(self, task: "asyncio.Future[None]") -> None:
        if task.cancelled():
            return
        log.critical("background_work_failed", exc_info=task.exception())
        os.kill(os.getpid(), signal.SIGTERM)
