"""Reading as the shop grows, what every process needs for it, and what a rebuild and a comparison take at its end.

The shop is filled through the executor while the whole pipeline follows, and measured at each size: requests at a
constant rate, a share of what one query-service holds at the smallest size in a closed loop.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from redis import Redis

from benchmarks.bench import Bench, Request
from benchmarks.figures import Figure, Line, Result, figure, within
from benchmarks.rows.reads import RATINGS, by_name, by_price, one_product
from benchmarks.rows.rebuild import meanwhile, operate, rebuild
from benchmarks.settings import CONNECTIONS
from benchmarks.shop import Measured, OurShop
from stockroom_local.waiting import wait_until

TITLE = "Growth and memory"
MIB: Final = 2**20
SHARE: Final = 0.25
"""Of the closed loop's rate. At a constant rate each request wakes the process by itself, which costs twice as much as
one of many that wait: half of that rate is nearly all it has, and p99 would tell how far a queue grew, at any size.
"""

LEAST_ROUNDS: Final = 5
"""A p99 of some milliseconds: one moment in which the machine was elsewhere decides a round of few seconds."""

GROWS_MOST: Final = 1.1
"""A process that is so much larger with all products than with half of them grows with them."""

KINDS: Final[dict[str, Callable[[int], list[Request]]]] = {
    "GET /products/{id}": one_product,
    "a page by price within a category": by_price,
    "search by the beginning of a word": by_name,
}


def measure(bench: Bench) -> Result:
    with bench.shop() as shop, shop.running():
        shop.becomes_level()
        growth = Growth(bench, shop)
        for size in bench.settings.sizes:
            growth.grow_to(size)
            growth.measure()
            bench.keep(growth.result())
        growth.remake()
    return growth.result()


class Growth:
    def __init__(self, bench: Bench, shop: OurShop) -> None:
        self._bench = bench
        self._shop = shop
        self._size = 0
        self._rates: dict[str, float] = {}
        self._held: dict[int, dict[str, float]] = {}
        self._late: dict[str, dict[int, Figure]] = {kind: {} for kind in KINDS}
        self._seen: dict[int, dict[str, list[dict[str, Any]]]] = {}
        self._memory: list[dict[str, Any]] = []
        self._costs: dict[int, dict[str, Any]] = {}
        self._filling: dict[str, float] = {}
        self._remade: dict[str, Any] = {}

    @property
    def _processes(self) -> Iterator[Measured]:
        return (process for process in self._shop.system.processes if isinstance(process, Measured))

    def grow_to(self, size: int) -> None:
        """Adds products until there are so many, and looks at memory on the way, with every process at work."""
        while self._size < size:
            first, last = self._size, next_size(self._size, size)
            self._bench.tell(f"filling, {first:,} of {size:,} products")
            self._filling = self._cpu_during(partial(self._fill, first, last))
            self._size = last
            self._exercise()
            resident = {process.name: process.resident for process in self._processes}
            self._memory.append({"products": self._size, "resident": resident})

    def _fill(self, first: int, last: int) -> None:
        self._shop.fill("catalogue", first, last, RATINGS)
        self._shop.becomes_level()

    def _exercise(self) -> None:
        """What the filling does not touch: commands over HTTP, commands by the queue, and reads."""
        shop, bench = self._shop, self._bench
        ids = [path.rpartition("/")[2] for _, path, _ in one_product(self._size)]
        changes: list[Request] = [
            ("POST", f"/inventory/{product_id}/additions", '{"quantity":1}') for product_id in ids
        ]
        bench.closed_loop(shop.command_urls, changes, 204, warm=0.0, seconds=bench.settings.warm)
        bench.closed_loop(shop.query_urls, one_product(self._size), 200, warm=0.0, seconds=bench.settings.warm)
        queued = [{"type": "AddToInventory", "data": {"product_id": each, "quantity": 1}} for each in ids[:1000]]
        reply = shop.system.command.post("/commands", json=queued)
        assert reply.status_code == 202, reply.text
        shop.becomes_level()

    def measure(self) -> None:
        """Each kind of request in each round."""
        bench, shop = self._bench, self._shop
        wait_for_redis(shop)
        bench.tell("what this shop holds")
        # At each size: what comes next then finds the same in memory that it finds at the smallest.
        held = {kind: bench.closed_loop(shop.query_urls, make(self._size), 200)["rate"] for kind, make in KINDS.items()}
        self._held[self._size] = held
        self._rates = self._rates or {kind: rate * SHARE for kind, rate in held.items()}
        bench.tell("at rest")
        at_rest = self._cpu_during(lambda: time.sleep(bench.settings.warm))
        least = LEAST_ROUNDS if bench.settings.scale >= 1 else 1
        seen = bench.rounds({kind: self._side(kind) for kind in KINDS}, least)
        self._seen[self._size] = seen
        for kind, rounds in seen.items():
            self._late[kind][self._size] = figure("ms", [one["latency"]["0.99"] * 1e3 for one in rounds])
        self._costs[self._size] = {**costs(shop, self._size), "cpu at rest": at_rest, "cpu filling": self._filling}

    def remake(self) -> None:
        """Makes the read model anew while clients read, and compares it with the log."""
        total = self._shop.drawn()
        self._bench.tell(f"a new generation from {total:,} events")
        self._remade = {"events": total, "rebuild": rebuild(self._bench, self._shop, total, self._size)}
        self._bench.keep(self.result())
        self._bench.tell(f"comparing it with {total:,} events")
        began = time.perf_counter()
        told = operate(self._shop, "verify")
        self._remade["verify"] = {"seconds": time.perf_counter() - began, "told": told}

    def _side(self, kind: str) -> Callable[[], dict[str, Any]]:
        requests, rate = KINDS[kind](self._size), self._rates[kind]

        def side() -> dict[str, Any]:
            seen = self._bench.constant_rate(self._shop.query_urls, requests, rate, connections=CONNECTIONS)
            assert set(seen["statuses"]) == {"200"}, seen["statuses"]
            return seen

        return side

    def _cpu_during(self, work: Callable[[], Any]) -> dict[str, float]:
        """By process the share of a core that it had meanwhile."""
        before = {process.name: process.cpu for process in self._processes}
        began = time.perf_counter()
        work()
        seconds = time.perf_counter() - began
        return {process.name: (process.cpu - before[process.name]) / seconds for process in self._processes}

    def result(self) -> Result:
        smallest = self._bench.settings.sizes[0]
        lines = [
            Line(f"{kind}, p99 at {size:,} products", late, f"at {smallest:,}", by_size[smallest], within(1.5))
            for kind, by_size in self._late.items()
            for size, late in by_size.items()
            if size != smallest
        ]
        details = {
            "rates": self._rates,
            "held in a closed loop": {str(size): held for size, held in self._held.items()},
            "sizes": {str(size): seen for size, seen in self._seen.items()},
            "memory": self._memory,
            "costs": {str(size): cost for size, cost in self._costs.items()},
            "remade": self._remade,
        }
        lines += memory_lines(self._memory)
        if self._remade:
            lines += remade_lines(self._remade)
        return Result(lines, notes(self._costs), details)


def next_size(now: int, end: int) -> int:
    """Twice as many as there are, with a halt at exactly half of the end."""
    return min(max(1_000, 2 * now), end // 2 if now < end // 2 else end)


def memory_lines(memory: list[dict[str, Any]]) -> list[Line]:
    """Every process with all products, beside itself with about half of them."""
    last = memory[-1]
    half = min(memory, key=lambda each: abs(each["products"] - last["products"] / 2))
    return [
        Line(
            f"memory of {name} at {last['products']:,} products",
            figure("MiB", [resident / MIB]),
            f"at {half['products']:,}",
            figure("MiB", [half["resident"][name] / MIB]),
            within(GROWS_MOST),
        )
        for name, resident in last["resident"].items()
    ]


def remade_lines(remade: dict[str, Any]) -> list[Line]:
    """The command that compares fails where anything differs."""
    events, rebuilt = remade["events"], remade["rebuild"]
    lines = [Line(f"a new generation from {events:,} events", figure("/s", [rebuilt["rate"]])), *meanwhile([rebuilt])]
    if verified := remade.get("verify"):
        rate = figure("/s", [events / verified["seconds"]])
        lines.append(Line(f"compared with {events:,} events, no difference", rate))
    return lines


def wait_for_redis(shop: OurShop) -> None:
    """A rewrite of the append-only file after so many writes is no part of reading."""

    def calm() -> bool:
        with Redis.from_url(shop.redis_url) as redis:
            state = redis.info("persistence")
        return not (state["aof_rewrite_in_progress"] or state["aof_rewrite_scheduled"])

    wait_until(calm, 300, pause=0.5)


def costs(shop: OurShop, products: int) -> dict[str, float]:
    """Bytes that a product needs in Redis, and an event in Postgres with its indexes."""
    with Redis.from_url(shop.redis_url) as redis:
        used = redis.info("memory")["used_memory_dataset"]
    events = int(shop.value("SELECT count(*) FROM events"))
    size = int(shop.value("SELECT pg_total_relation_size('events')"))
    return {"redis bytes a product": used / products, "postgres bytes an event": size / events, "events": events}


def notes(costs_by_size: dict[int, dict[str, Any]]) -> list[str]:
    size, cost = max(costs_by_size.items())
    return [
        f"at {size:,} products with {RATINGS} ratings each: {cost['redis bytes a product']:,.0f} bytes a product in "
        f"Redis, {cost['postgres bytes an event']:,.0f} bytes an event in Postgres with its indexes"
    ]
