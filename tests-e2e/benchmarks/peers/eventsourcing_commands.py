"""Commands through `eventsourcing`'s application: `{"url", "count", "most_seconds", "threads"}`.

Its rate does not depend on how many commands there are, so it is stopped after `most_seconds`.
"""

import threading
import time
from collections.abc import Iterator
from typing import Any

from benchmarks import workload
from benchmarks.peers.eventsourcing_shop import Shop, settings
from benchmarks.program import answer


class Taken:
    """The commands, handed out one by one until the time is over."""

    def __init__(self, commands: Iterator[workload.Command], until: float) -> None:
        self._commands = commands
        self._until = until
        self._lock = threading.Lock()
        self.count = 0

    def next(self) -> workload.Command | None:
        with self._lock:
            if time.perf_counter() > self._until:
                return None
            command = next(self._commands, None)
            self.count += command is not None
            return command


def work(shop: Shop, taken: Taken, failed: list[BaseException]) -> None:
    try:
        while (command := taken.next()) is not None:
            shop.execute(command)
    except BaseException as error:
        failed.append(error)


def run(request: dict[str, Any]) -> dict[str, Any]:
    commands = list(workload.mixed(request["count"]))
    with Shop(settings(request["url"])) as shop:
        began = time.perf_counter()
        taken = Taken(iter(commands), began + request["most_seconds"])
        failed: list[BaseException] = []
        threads = [threading.Thread(target=work, args=(shop, taken, failed)) for _ in range(request["threads"])]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.perf_counter() - began
    if failed:
        raise failed[0]
    return {"count": taken.count, "seconds": seconds, "rate": taken.count / seconds}


if __name__ == "__main__":
    answer(run)
