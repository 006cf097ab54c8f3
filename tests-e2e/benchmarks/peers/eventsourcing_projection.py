"""A backlog through `eventsourcing`'s projection runner: `{"url", "count", "most_seconds"}`.

The log is filled with so many events of the mixed workload, many aggregates a save. Then the runner projects them;
its rate does not depend on how many there are, so it is stopped after `most_seconds`.
"""

import time
from typing import Any

from eventsourcing.domain import Aggregate
from eventsourcing.projection import ProjectionRunner

from benchmarks import workload
from benchmarks.peers.eventsourcing_shop import Shop, settings
from benchmarks.peers.eventsourcing_view import Showing, Shown
from benchmarks.program import answer

SAVED_TOGETHER = 1000
LOOKS_SECONDS = 0.2


class Filling(Shop):
    """Executes commands as the shop does, but keeps what they change, to be saved together."""

    def __init__(self, env: dict[str, str]) -> None:
        super().__init__(env)
        self._changed: dict[Any, Aggregate] = {}
        self.recorded = 0

    def save(self, *objects: Any, **_: Any) -> list[Any]:
        for changed in objects:
            self._changed[changed.id] = changed
            if self.repository.cache is not None:
                self.repository.cache.put(changed.id, changed)
        if len(self._changed) >= SAVED_TOGETHER:
            self.flush()
        return []

    def flush(self) -> None:
        self.recorded += sum(len(changed.pending_events) for changed in self._changed.values())
        super().save(*self._changed.values())
        self._changed.clear()


Filling.name = Shop.name  # the log that it fills is the shop's


def fill(url: str, events: int) -> int:
    with Filling({**settings(url), "AGGREGATE_CACHE_MAXSIZE": "0"}) as shop:
        for command in workload.mixed(events):
            shop.execute(command)
            if shop.recorded >= events:
                break
        shop.flush()
        return shop.recorded


def run(request: dict[str, Any]) -> dict[str, Any]:
    events = fill(request["url"], request["count"])
    began = time.perf_counter()
    with ProjectionRunner(
        application_class=Shop, projection_class=Showing, view_class=Shown, env=settings(request["url"])
    ) as runner:
        samples = [(0.0, 0)]
        while samples[-1][1] < events and samples[-1][0] < request["most_seconds"]:
            runner.run_forever(timeout=LOOKS_SECONDS)
            samples.append((time.perf_counter() - began, runner.view.max_tracking_id(runner.app_name) or 0))
    return {"count": events, "samples": samples}


if __name__ == "__main__":
    answer(run)
