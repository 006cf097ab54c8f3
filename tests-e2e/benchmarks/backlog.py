"""What the pipeline has not done yet, watched while a load runs: whether it keeps pace."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import asyncpg
import httpx

from benchmarks.pace import Sample, bounded, slope
from benchmarks.shop import OurShop

LOOKS_SECONDS = 0.5
DRAWN = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM events_position_seq"


class Backlog:
    """Events that are committed and that the read model (`shown`) or the process managers (`handled`) lack."""

    def __init__(self, shop: OurShop, managed: float) -> None:
        self._shop = shop
        self._managed = managed
        self._stopped = threading.Event()
        self.committed: list[Sample] = []
        self.shown: list[Sample] = []
        self.handled: list[Sample] = []

    def run(self) -> None:
        asyncio.run(self._watch())

    def stop(self) -> None:
        self._stopped.set()

    async def _watch(self) -> None:
        system = self._shop.system
        postgres = await asyncpg.connect(self._shop.postgres_url)
        first = (
            await postgres.fetchval(DRAWN),
            system.projector.metric("stockroom_projector_events_applied_total"),
            system.managers.metric("stockroom_process_events_total"),
        )
        while not self._stopped.wait(LOOKS_SECONDS):
            with suppress(httpx.TransportError):
                applied = system.projector.metric("stockroom_projector_events_applied_total") - first[1]
                handled = system.managers.metric("stockroom_process_events_total") - first[2]
                committed = await postgres.fetchval(DRAWN) - first[0]
                now = time.perf_counter()
                self.committed.append((now, committed))
                self.shown.append((now, committed - applied))
                self.handled.append((now, committed * self._managed - handled))
        await postgres.close()

    def seen(self, load: dict[str, Any]) -> dict[str, Any]:
        """As JSON, of the time of the load that came last; `bounded` says whether the pipeline kept pace."""
        ended = self.committed[-1][0] if self.committed else 0.0
        began = ended - load["seconds"]
        committed, shown, handled = (
            [sample for sample in samples if sample[0] >= began]
            for samples in (self.committed, self.shown, self.handled)
        )
        arriving = slope(committed)
        return {
            "bounded": bounded(shown, arriving) and bounded(handled, arriving),
            "events_per_second": arriving,
            "shown_grows_by": slope(shown[len(shown) // 2 :]),
            "handled_grows_by": slope(handled[len(handled) // 2 :]),
            "shown": [(when - began, much) for when, much in shown],
            "handled": [(when - began, much) for when, much in handled],
        }


@contextmanager
def watched(shop: OurShop, managed: float) -> Iterator[Backlog]:
    """`managed` is the share of the load's events that concerns process managers."""
    backlog = Backlog(shop, managed)
    thread = threading.Thread(target=backlog.run)
    thread.start()
    try:
        yield backlog
    finally:
        backlog.stop()
        thread.join()
