"""From a save to its projection, by `eventsourcing`'s own `wait()`: `{"url", "clients", "warm", "seconds"}`.

First so many clients save and wait for as long: what it can hold. Then saves come at half of that rate, each taken
by a client who is free, and `readable` is from the end of the save to the end of the wait, in seconds.
"""

import queue
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from eventsourcing.projection import ProjectionRunner

from benchmarks import workload
from benchmarks.figures import distribution
from benchmarks.pace import arrivals, due
from benchmarks.peers.eventsourcing_shop import Shop, settings
from benchmarks.peers.eventsourcing_view import Showing, Shown
from benchmarks.program import answer

WAIT_SECONDS = 30.0


@dataclass(slots=True)
class Seen:
    readable: list[float] = field(default_factory=list)
    latency: list[float] = field(default_factory=list)


class Clients:
    """Threads who save a product, and wait until it is shown."""

    def __init__(self, runner: ProjectionRunner[Shop, Shown], count: int) -> None:
        self._runner = runner
        self._count = count
        self._number = 0
        self._lock = threading.Lock()

    def once(self, intended: float, seen: Seen) -> None:
        with self._lock:
            self._number += 1
            number = self._number
        recordings = self._runner.app.add_product(workload.product(7, number))
        saved = time.perf_counter()
        self._runner.wait(recordings[-1].notification.id, WAIT_SECONDS)
        now = time.perf_counter()
        seen.readable.append(now - saved)
        seen.latency.append(now - intended)

    def go_round(self, seconds: float) -> float:
        """Every client goes on as soon as it has seen its product; the commands a second."""
        seen = Seen()
        until = time.perf_counter() + seconds

        def work() -> None:
            while time.perf_counter() < until:
                self.once(time.perf_counter(), seen)

        began = time.perf_counter()
        self._run(work)
        return len(seen.readable) / (time.perf_counter() - began)

    def at_rate(self, rate: float, seconds: float) -> Seen:
        seen = Seen()
        arriving: queue.Queue[float | None] = queue.Queue()

        def work() -> None:
            while (intended := arriving.get()) is not None:
                self.once(intended, seen)

        def arrive() -> None:
            began = time.perf_counter()
            for number in range(arrivals(rate, seconds)):
                intended = due(began, rate, number)
                time.sleep(max(0.0, intended - time.perf_counter()))
                arriving.put(intended)
            for _ in range(self._count):
                arriving.put(None)

        threading.Thread(target=arrive).start()
        self._run(work)
        return seen

    def _run(self, work: Any) -> None:
        threads = [threading.Thread(target=work) for _ in range(self._count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def run(request: dict[str, Any]) -> dict[str, Any]:
    env = {**settings(request["url"]), "POSTGRES_POOL_SIZE": str(request["clients"])}
    with ProjectionRunner(application_class=Shop, projection_class=Showing, view_class=Shown, env=env) as runner:
        clients = Clients(runner, request["clients"])
        clients.go_round(request["warm"])
        holds = clients.go_round(request["seconds"])
        seen = clients.at_rate(holds / 2, request["seconds"])
    return {
        "holds": holds,
        "rate": holds / 2,
        "count": len(seen.readable),
        "readable": distribution(seen.readable),
        "latency": distribution(seen.latency),
    }


if __name__ == "__main__":
    answer(run)
