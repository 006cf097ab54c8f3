"""Tasks that end when they are told to.

Python 3.11's `wait_for`, which drivers call, swallows a cancellation that comes in the very moment of its result. A
task that is cancelled once, as `asyncio.TaskGroup` does it, may then go on for ever, and with it whoever waits.
"""

import asyncio
from collections.abc import Awaitable
from typing import Any, Final

END_SECONDS: Final = 5.0
"""Seconds that a cancelled task gets to close what it holds; being cancelled again would cut that short."""


async def end(*tasks: "asyncio.Future[Any]") -> None:
    """Cancels tasks until all have ended. Being cancelled itself does not end it before they have."""
    now = asyncio.get_running_loop().time
    cancelled: asyncio.CancelledError | None = None
    next_time = now()
    while running := [task for task in tasks if not task.done()]:
        if now() >= next_time:
            next_time = now() + END_SECONDS
            for task in running:
                task.cancel()
        try:
            await asyncio.wait(running, timeout=max(0.0, next_time - now()))
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


async def together(*works: Awaitable[Any]) -> None:
    """Runs all at once until all have ended or one has failed, which is raised; the others are ended then."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        await end(*tasks)
    for error in [task.exception() for task in tasks if not task.cancelled()]:
        if error is not None:
            raise error
