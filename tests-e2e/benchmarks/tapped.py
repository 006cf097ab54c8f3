"""A shop whose processes reach their servers through taps, one for each process and server."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import taps
from benchmarks.shop import Measured, OurShop
from taps import Tap

What = tuple[str, str, str]
"""Process, server, and what is counted of it."""

SETTINGS: Final = {
    "Postgres": ("STOCKROOM_POSTGRES_URL", taps.Postgres),
    "RabbitMQ": ("STOCKROOM_RABBITMQ_URL", taps.RabbitMQ),
    "Redis": ("STOCKROOM_REDIS_URL", taps.Redis),
}


@dataclass(frozen=True, slots=True)
class Counts:
    """What was said while so many operations were done, and so many events came of them, in so many seconds."""

    said: Counter[What]
    seconds: float
    count: int
    events: int

    def beyond(self, rest: "Counts") -> dict[What, float]:
        """What was said beyond what is said at rest in as much time."""
        share = self.seconds / rest.seconds
        return {what: max(0.0, number - share * rest.said[what]) for what, number in self.said.items()}


class Wires:
    def __init__(self) -> None:
        self._taps: dict[tuple[str, str], Tap] = {}

    def add(self, process: str, server: str, tap: Tap) -> None:
        self._taps[process, server] = tap

    def counted(self, work: Callable[[], dict[str, Any]], drawn: Callable[[], int] = lambda: 0) -> Counts:
        """What is said during `work`, which returns how many operations it was; `drawn` is the log's last position."""
        for tap in self._taps.values():
            tap.forget()
        first, began = drawn(), time.perf_counter()
        done = work()
        seconds = time.perf_counter() - began
        return Counts(self._said(), seconds, done["count"], drawn() - first)

    def _said(self) -> Counter[What]:
        said: Counter[What] = Counter()
        for (process, server), tap in self._taps.items():
            trips = tap.said()
            if server == "RabbitMQ":
                said.update((process, server, name) for trip in trips for name in trip)
                continue
            said[process, server, "round trips"] += len(trips)
            said[process, server, "statements" if server == "Postgres" else "commands"] += sum(map(len, trips))
        return said


@contextmanager
def tapped(shop: OurShop) -> Iterator[Wires]:
    """The whole system runs as it does, but for the taps."""
    wires = Wires()
    with _loop() as run:
        stack = AsyncExitStack()
        try:
            processes = [_tapped(process, shop, wires, stack, run) for process in shop.system.processes]
            with shop.running(*processes):
                yield wires
        finally:
            run(stack.aclose())


Run = Callable[[Any], Any]


def _tapped(process: Any, shop: OurShop, wires: Wires, stack: AsyncExitStack, run: Run) -> Measured:
    assert isinstance(process, Measured)
    settings = {}
    for server, (name, dialogue) in SETTINGS.items():
        url = shop.settings[name]
        tap = run(stack.enter_async_context(Tap(int(url.rpartition(":")[2].partition("/")[0]), dialogue)))
        wires.add(process.name, server, tap)
        settings[name] = tap.url(url)
    return process.with_settings(settings)


@contextmanager
def _loop() -> Iterator[Run]:
    """An event loop in a thread of its own; what is handed to it is waited for."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield lambda work: asyncio.run_coroutine_threadsafe(work, loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
