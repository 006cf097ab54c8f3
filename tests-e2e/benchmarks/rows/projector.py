"""A backlog of events into the read model, beside `eventsourcing`'s projection runner."""

from typing import Any

from benchmarks.bench import Bench
from benchmarks.figures import Line, Result, figure, times
from benchmarks.pace import rate_between
from benchmarks.rows.relay import filled
from benchmarks.shop import LEVEL_SECONDS, OurShop, samples_of
from stockroom_local.waiting import wait_until

TITLE = "Projector"
LOOKS_SECONDS = 0.2


def measure(bench: Bench) -> Result:
    settings = bench.settings

    def ours() -> dict[str, Any]:
        with bench.shop() as shop:
            shop.prepare()
            total = filled(shop, settings.backlog)
            relayed(shop)
            return {"count": total, **projected(shop, total)}

    def peer() -> dict[str, Any]:
        with bench.database() as url:
            asked = {"url": url, "count": settings.backlog, "most_seconds": settings.peer_seconds}
            seen = bench.peer("eventsourcing_projection", asked)
        return {**seen, "rate": rate_between(seen["samples"], seen["count"])}

    seen = bench.rounds({"Stockroom": ours, "eventsourcing": peer})
    rates = {side: figure("/s", [one["rate"] for one in rounds]) for side, rounds in seen.items()}
    what = f"{settings.backlog:,} events into the read model"
    return Result(
        [Line(what, rates["Stockroom"], "eventsourcing's projection runner", rates["eventsourcing"], times(15))],
        ["eventsourcing keeps one row a product in Postgres; we keep documents, indexes, histories and sums in Redis"],
        seen,
    )


def relayed(shop: OurShop) -> None:
    """All that is in the outbox is in the subscribers' queues."""
    with shop.running(shop.system.relay):
        if not wait_until(lambda: not shop.outbox(), LEVEL_SECONDS, pause=0.5):
            raise TimeoutError("the outbox is not empty")


def projected(shop: OurShop, total: int) -> dict[str, Any]:
    """The rate at which a projector that is started now works off its queues."""
    projector = shop.system.projector
    with shop.running(shop.system.api):
        projector.start(ready=False)
        try:
            counter = "stockroom_projector_events_applied_total"
            samples = samples_of(projector, counter, total, LEVEL_SECONDS, LOOKS_SECONDS)
        finally:
            projector.stop()
    return {"rate": rate_between(samples, total), "samples": samples}
