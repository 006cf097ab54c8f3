"""A new generation of the read model from a long log, while clients go on reading."""

import re
import subprocess
import threading
import time
from typing import Any

from benchmarks.bench import Bench
from benchmarks.figures import NONE, Line, Result, at_most, figure, times
from benchmarks.rows.projector import projected, relayed
from benchmarks.rows.reads import one_product
from benchmarks.rows.relay import filled
from benchmarks.shop import OurShop
from system import program

TITLE = "Rebuild"
READS_PER_SECOND = 200.0
LONGEST_SECONDS = 3600.0
WAITS_MS = 500.0
"""A read that took longer has waited."""

NUMBER = re.compile(r"making generation (\d+)")


def measure(bench: Bench) -> Result:
    with bench.shop() as shop:
        bench.tell("filling the log")
        shop.prepare()
        total = filled(shop, bench.settings.rebuilt)
        relayed(shop)
        bench.tell("the projector's own rate")
        own = projected(shop, total)
        added = shop.value("SELECT count(*) FROM events WHERE type = 'ProductAdded'")
        with shop.running():
            shop.becomes_level()
            seen = bench.rounds({"rebuild": lambda: rebuild(bench, shop, total, int(added))})["rebuild"]
    rates, projector = figure("/s", [one["rate"] for one in seen]), figure("/s", [own["rate"]])
    return Result(
        [
            Line(f"a new generation from {total:,} events", rates, "the projector", projector, times(1.5)),
            *meanwhile(seen),
        ],
        ["from the command to the switch, without the comparison with the log; the projector's rate is of one round"],
        {"projector": own, "rebuild": seen},
    )


def meanwhile(seen: list[dict[str, Any]]) -> list[Line]:
    """How the reads went while generations were made."""
    failed = sum(one["failed"] for one in seen)
    slowest, late = (figure("ms", [one["reads"]["latency"][share] * 1e3 for one in seen]) for share in ("1.0", "0.99"))
    return [
        Line("reads that failed meanwhile", figure("reads", [failed]), reach=NONE),
        Line("the slowest read meanwhile", slowest, reach=at_most(WAITS_MS, "ms")),
        Line("reads meanwhile, p99", late),
    ]


def rebuild(bench: Bench, shop: OurShop, total: int, products: int) -> dict[str, Any]:
    with Reading(bench, shop, products) as reading:
        began = time.perf_counter()
        told = operate(shop, "rebuild", "--no-verify")
        seconds = time.perf_counter() - began
    made = NUMBER.search(told)
    assert made is not None, told
    operate(shop, "generations", "drop", str(int(made[1]) - 1))
    failed = reading.seen["count"] - reading.seen["statuses"].get("200", 0)
    return {"rate": total / seconds, "seconds": seconds, "reads": reading.seen, "failed": failed}


def operate(shop: OurShop, *arguments: str) -> str:
    command = [program("projector"), *arguments]
    done = subprocess.run(command, env=shop.system.environment, capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(f"{' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


class Reading:
    """Reads at a constant rate, from the beginning of a block to its end."""

    def __init__(self, bench: Bench, shop: OurShop, products: int) -> None:
        self._bench = bench
        self._urls = shop.query_urls
        self._requests = one_product(products)
        self._until = bench.folder / "reading-ends"
        self._thread = threading.Thread(target=self._read)
        self.seen: dict[str, Any] = {}

    def __enter__(self) -> "Reading":
        self._until.unlink(missing_ok=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._until.touch()
        self._thread.join()

    def _read(self) -> None:
        options = {"seconds": LONGEST_SECONDS, "warm": 0.0, "until": str(self._until)}
        self.seen = self._bench.constant_rate(self._urls, self._requests, READS_PER_SECOND, **options)
