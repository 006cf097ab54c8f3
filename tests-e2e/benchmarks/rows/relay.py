"""The outbox drained into the broker, beside `faststream-outbox` with its batched flush."""

import json
from typing import Any

from benchmarks.bench import Bench
from benchmarks.figures import Line, Result, figure, times
from benchmarks.pace import rate_between
from benchmarks.shop import LEVEL_SECONDS, OurShop, samples_of

TITLE = "Outbox relay"
LOOKS_SECONDS = 0.1
WORKERS = (4, 16, 64)
"""Of `faststream-outbox`, to choose from."""

BODY = json.dumps({"specversion": "1.0", "type": "PriceChanged", "data": {"price": "349.99"}, "padding": "x" * 600})
"""About as long as an event of ours."""


def measure(bench: Bench) -> Result:
    settings = bench.settings

    def ours() -> dict[str, Any]:
        with bench.shop() as shop:
            shop.prepare()
            total = filled(shop, settings.backlog)
            relay = shop.system.relay
            relay.start(ready=False)
            try:
                samples = samples_of(relay, "stockroom_events_published_total", total, LEVEL_SECONDS, LOOKS_SECONDS)
            finally:
                relay.stop()
        return {"count": total, "rate": rate_between(samples, total), "samples": samples}

    def peer(workers: int, count: int, seconds: float) -> dict[str, Any]:
        with bench.database() as postgres, bench.vhost() as rabbitmq:
            asked = {"count": count, "body": BODY, "workers": workers, "most_seconds": seconds}
            return bench.peer("faststream_relay", {"postgres": postgres, "rabbitmq": rabbitmq, **asked})

    few = settings.scaled(20_000, 2_000)
    workers = bench.fastest("workers", WORKERS, lambda workers: peer(workers, few, settings.trial_seconds))
    seen = bench.rounds(
        {
            "Stockroom": ours,
            "faststream-outbox": lambda: peer(workers, settings.backlog, settings.peer_seconds),
        }
    )
    rates = {side: figure("/s", [one["rate"] for one in rounds]) for side, rounds in seen.items()}
    rows = f"{settings.backlog:,} rows of the outbox to confirmed"
    return Result(
        [Line(rows, rates["Stockroom"], "faststream-outbox", rates["faststream-outbox"], times(10))],
        [
            "our messages go to three subscribers' queues, faststream-outbox's to one",
            f"faststream-outbox had {workers} workers, its fastest of {WORKERS}",
        ],
        seen,
    )


def filled(shop: OurShop, events: int) -> int:
    """The outbox holds about so many events; how many exactly."""
    # A command of the mixed workload is 1.1 events: every tenth adds a product, which is two.
    shop.fill("mixed", round(events / 1.1))
    return shop.outbox()
