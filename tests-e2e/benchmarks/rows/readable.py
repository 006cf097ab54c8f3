"""From a commit to what it changed being readable, at half of the load that the system holds."""

from typing import Any

from benchmarks.bench import Bench
from benchmarks.figures import Line, Result, at_most, figure
from benchmarks.rows.commands import PRODUCT
from benchmarks.settings import CONNECTIONS

TITLE = "Commit to readable"


def measure(bench: Bench) -> Result:
    settings = bench.settings
    with bench.shop() as shop:

        def ours() -> dict[str, Any]:
            with shop.running():
                shop.becomes_level()
                holds = bench.own_writes(shop, PRODUCT)["rate"]
                shop.becomes_level()
                seen = bench.own_writes(shop, PRODUCT, rate=holds / 2, clients=2 * CONNECTIONS)
            return {**seen, "holds": holds, "rate": holds / 2}

        def peer() -> dict[str, Any]:
            with bench.database() as url:
                asked = {"clients": CONNECTIONS, "warm": settings.warm, "seconds": settings.seconds}
                return bench.peer("eventsourcing_wait", {"url": url, **asked})

        seen = bench.rounds({"Stockroom": ours, "eventsourcing": peer})

    def figures(side: str, quantile: str, kind: str = "readable") -> Any:
        return figure("ms", [one[kind][quantile] * 1e3 for one in seen[side]])

    peer_name = "eventsourcing's wait()"
    loads = {side: figure("/s", [one["rate"] for one in rounds]) for side, rounds in seen.items()}
    return Result(
        [
            Line("201 → readable, p50", figures("Stockroom", "0.5"), peer_name, figures("eventsourcing", "0.5"), P50),
            Line("201 → readable, p99", figures("Stockroom", "0.99"), peer_name, figures("eventsourcing", "0.99"), P99),
            Line("sent → readable, p99", figures("Stockroom", "0.99", "latency")),
            Line("commands at a constant rate", loads["Stockroom"], peer_name, loads["eventsourcing"]),
        ],
        details=seen,
    )


P50 = at_most(10, "ms")
P99 = at_most(50, "ms")
