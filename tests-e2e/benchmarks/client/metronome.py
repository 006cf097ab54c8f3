"""Calls something at a constant rate, whatever became of the calls before.

A thread of its own keeps the time: the event loop's timers know only whole milliseconds.
"""

import asyncio
import threading
import time
from collections.abc import Callable

from benchmarks.pace import arrivals, due

BEGINS_SECONDS = 0.05
"""From making a metronome to its first call."""


class Metronome:
    """`call(number, intended)` runs in the event loop; `intended` is when it was meant to be (perf_counter).

    It ends after so many seconds, or when `goes_on` says no; then `ended` runs, after the last call.
    """

    def __init__(
        self,
        rate: float,
        seconds: float,
        call: Callable[[int, float], None],
        ended: Callable[[], None],
        goes_on: Callable[[], bool] = lambda: True,
    ) -> None:
        self._count = arrivals(rate, seconds)
        self._rate = rate
        self._call = call
        self._ended = ended
        self._goes_on = goes_on
        self._began = time.perf_counter() + BEGINS_SECONDS
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        for number in range(self._count):
            intended = due(self._began, self._rate, number)
            ahead = intended - time.perf_counter()
            if ahead > 0:
                time.sleep(ahead)
            if not self._goes_on():
                break
            self._loop.call_soon_threadsafe(self._call, number, intended)
        self._loop.call_soon_threadsafe(self._ended)
