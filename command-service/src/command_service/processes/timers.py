"""Fires timers at their time: each is a row in Postgres, due by the clock of Postgres.

Every instance looks for what is due, so that a timer outlives any of them. One that two of them fire, or that fires
again after a crash, sends the same command under the same id; and what it changes is decided by the command's stream.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Generic

from chassis.logging import get_logger
from command_service.decider import Command
from command_service.envelope import ExecutionFailed
from command_service.event_store.feed import Feed
from command_service.processes import metrics
from command_service.processes.manager import S
from command_service.processes.rows import Row, Rows
from command_service.processes.sending import Sender, passes

log = get_logger(__name__)

LOOK_SECONDS: Final = 1.0
"""Seconds after which it looks again at the latest, for timers that another instance has set."""

PUT_OFF_SECONDS: Final = 30.0
"""Seconds until a timer whose command failed is due again."""

MEASURE_SECONDS: Final = 5.0

AT_ONCE: Final = 100


class Timers(Generic[S]):
    """The timers of one manager."""

    def __init__(
        self, manager: str, on_due: Callable[[str, S], Command], rows: Rows[S], feed: Feed, sender: Sender
    ) -> None:
        self._manager = manager
        self._on_due = on_due
        self._rows = rows
        self._feed = feed
        self._sender = sender
        self._set = asyncio.Event()
        self._measure_at = 0.0

    def was_set(self) -> None:
        """Looks at once: a timer was set that may be the first."""
        self._set.set()

    async def run(self) -> None:
        """Fires for ever, whatever can't be reached meanwhile."""
        while True:
            self._set.clear()
            try:
                pause = await self.fire_due()
                await self._measure()
            except Exception as error:
                if not passes(error):
                    raise
                log.warning("timers_held", manager=self._manager, reason=type(error).__name__)
                pause = LOOK_SECONDS
            try:
                async with asyncio.timeout(pause):
                    await self._set.wait()
            except TimeoutError:
                pass

    async def fire_due(self) -> float:
        """Fires what is due; the seconds until it should look again."""
        while due := await self._rows.due(AT_ONCE):
            ended = await asyncio.gather(
                *(self._fire(stream_id, row) for stream_id, row in due.items()), return_exceptions=True
            )
            for error in ended:
                if error is not None:
                    raise error
        seconds = await self._rows.seconds_to_next()
        return LOOK_SECONDS if seconds is None else min(LOOK_SECONDS, max(0.0, seconds))

    async def _measure(self) -> None:
        """Now and then only: counting looks at every timer."""
        now = asyncio.get_running_loop().time()
        if now >= self._measure_at:
            self._measure_at = now + MEASURE_SECONDS
            metrics.TIMERS_WAITING.labels(self._manager).set(await self._rows.waiting())

    async def _fire(self, stream_id: str, row: Row[S]) -> None:
        try:
            await self._send(stream_id, row)
        except ExecutionFailed as error:
            metrics.TIMERS_FAILED.labels(self._manager).inc()
            log.error("timer_failed", manager=self._manager, stream_id=stream_id, reason=str(error)[:500])
            await self._rows.put_off_timer(stream_id, row.version, PUT_OFF_SECONDS)
            return
        # After the command, never before: a crash in between fires it again.
        await self._rows.clear_timer(stream_id, row.version)
        metrics.TIMERS_FIRED.labels(self._manager).inc()

    async def _send(self, stream_id: str, row: Row[S]) -> None:
        """The cause is the event that the stream has come to: it is what left the timer set."""
        found = await self._feed.stream(stream_id, row.version - 1, 1)
        if not found:
            raise ExecutionFailed("the log does not have the event that set the timer")
        await self._sender.send(self._on_due(stream_id, row.state), found[0], "due", at_cause=False)
