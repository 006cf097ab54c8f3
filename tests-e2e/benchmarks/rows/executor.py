"""Command handling without HTTP, beside `eventsourcing` and beside the same rows by bare SQL."""

from typing import Any

from benchmarks.bench import Bench
from benchmarks.figures import Line, Result, figure, share_of, times

TITLE = "Command handling without HTTP"

THREADS = (1, 4, 16)
"""Of `eventsourcing`, to choose from: its saves commit one after the other, but they can wait for the disk together."""


def measure(bench: Bench) -> Result:
    settings = bench.settings
    bare: list[dict[str, Any]] = []

    def ours() -> dict[str, Any]:
        """Our executor; and then, with the rows that it has written, bare SQL."""
        with bench.shop() as shop:
            seen = shop.fill("mixed", settings.commands, ready=True)
            bench.tell("bare SQL, the same rows")
            with bench.shop_tables() as target:
                bare.append(bench.peer("bare_sql", {"source": shop.postgres_url, "target": target}))
        return seen

    def peer(threads: int, seconds: float) -> dict[str, Any]:
        with bench.database() as url:
            asked = {"count": settings.commands, "most_seconds": seconds, "threads": threads}
            return bench.peer("eventsourcing_commands", {"url": url, **asked})

    threads = bench.fastest("threads", THREADS, lambda threads: peer(threads, settings.trial_seconds))
    seen = bench.rounds({"Stockroom": ours, "eventsourcing": lambda: peer(threads, settings.peer_seconds)})
    seen["bare SQL"] = bare
    rates = {side: figure("/s", [one["rate"] for one in rounds]) for side, rounds in seen.items()}
    what = f"{settings.commands:,} commands through the executor"
    executed = seen["eventsourcing"][0]["count"]
    notes = [f"eventsourcing executed the first {executed:,} of them, with {threads} threads, its fastest of {THREADS}"]
    return Result(
        [
            Line(what, rates["Stockroom"], "eventsourcing", rates["eventsourcing"], times(10)),
            Line(what, rates["Stockroom"], "the same rows by bare SQL", rates["bare SQL"], share_of(0.6)),
        ],
        notes,
        seen,
    )
