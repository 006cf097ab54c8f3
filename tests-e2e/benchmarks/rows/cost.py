"""What the system needs: memory and processor time of every process and server, round trips and statements, bytes.

Nothing stands beside it and nothing is to be reached: figures to size a machine by, and to see what grew since the
last time. The load comes at a constant rate, far below what the system holds. Round trips are counted in a second
run, by taps on the wire between each process and its servers, which would burden the first.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from statistics import median
from typing import Any, Final

import orjson

from benchmarks import workload
from benchmarks.bench import Bench, Request
from benchmarks.figures import Grid, Result
from benchmarks.process_tree import Use, used_by
from benchmarks.rows.commands import PRODUCT, order
from benchmarks.rows.growth import MIB, costs, wait_for_redis
from benchmarks.rows.reads import RATINGS, by_name, by_price, one_product
from benchmarks.shop import Measured, OurShop
from benchmarks.tapped import Counts, tapped

TITLE = "Cost"
COMMANDS_PER_SECOND: Final = 200.0
READS_PER_SECOND: Final = 1_000.0
CHANGED: Final = 500
"""Products that the commands are about."""

KINDS: Final = 4
"""Of commands; one of them adds a product."""

Seen = dict[str, Any]


def measure(bench: Bench) -> Result:
    products = bench.settings.scaled(3_000, 300)
    with bench.shop() as shop:
        bench.tell("filling the shop")
        shop.prepare()
        shop.fill("catalogue", 0, products, RATINGS)
        load = Load(bench, shop, products)
        with shop.running():
            shop.becomes_level()
            wait_for_redis(shop)
            load.both()  # everything is loaded and warm before it is measured
            phases = {"at rest": load.rest, "commands": load.commands, "reads": load.reads, "both": load.both}
            seen = bench.rounds({name: measured(bench, shop, phase) for name, phase in phases.items()})
            shop.becomes_level()
        bench.tell("bytes")
        bytes_each = {
            "redis bytes a product": costs(shop, products + load.added)["redis bytes a product"],
            **sizes(shop),
        }
        bench.tell("counting round trips")
        counted = count(shop, load)
    rows = [need(name, seen) for name in seen["both"][0]["use"]]
    trips = [*needs_of_commands(counted), *needs_of_reads(counted)]
    grids = [
        Grid("Memory and processor time", NEEDS, [[*map(said, row.values())] for row in rows]),
        Grid("Round trips under the same load", TRIPS, [[*map(said, row.values())] for row in trips]),
        Grid("Bytes", ("what", "bytes"), [[what, f"{size:,.0f}"] for what, size in bytes_each.items()]),
    ]
    return Result(notes=notes(bench, products), details=details(seen, rows, trips, bytes_each), grids=grids)


class Load:
    """Commands and reads at their constant rates."""

    def __init__(self, bench: Bench, shop: OurShop, products: int) -> None:
        self._bench = bench
        self._shop = shop
        changed = [workload.identifier(1, number) for number in range(min(products, CHANGED))]
        self._commands = [*chain.from_iterable(map(commands_about, range(len(changed)), changed))]
        self._reads = reads(products)
        self.added = 0

    def rest(self) -> Seen:
        time.sleep(self._bench.settings.seconds)
        return {"count": 0}

    def commands(self) -> Seen:
        """Until every subscriber has what they changed."""
        seen = self._change()
        self._shop.becomes_level()
        return seen

    def reads(self) -> Seen:
        return self._send(self._shop.query_urls, self._reads, READS_PER_SECOND, {"200"})

    def both(self) -> Seen:
        with ThreadPoolExecutor(1) as beside:
            reading = beside.submit(self.reads)
            commands = self._change()
            return {"count": commands["count"], "reads": reading.result()["count"], "loaded": commands["seconds"]}

    def _change(self) -> Seen:
        seen = self._send(self._shop.command_urls, self._commands, COMMANDS_PER_SECOND, {"201", "204"})
        self.added += seen["count"] // KINDS
        return seen

    def _send(self, urls: list[str], requests: list[Request], rate: float, expected: set[str]) -> Seen:
        seen = self._bench.constant_rate(urls, requests, rate, warm=0.0)
        if not set(seen["statuses"]) <= expected:
            raise AssertionError(f"expected {expected}, but saw {seen['statuses']}")
        return seen


def commands_about(number: int, product_id: str) -> list[Request]:
    """One of each kind; the product that is added is another one."""
    price = orjson.dumps({"price": workload.price(number + 1)}).decode()
    return [
        ("POST", "/products", PRODUCT),
        ("POST", f"/products/{product_id}/price-changes", price),
        ("POST", f"/inventory/{product_id}/additions", '{"quantity":1}'),
        ("POST", "/orders", order(product_id)),
    ]


def reads(products: int) -> list[Request]:
    """Of ten, eight ask for a product, one for a page of a list and one for a search."""
    ones, pages, searches = one_product(products), by_price(products), by_name(products)
    mixed: list[Request] = []
    for number in range(len(ones) // 8):
        mixed += (*ones[8 * number : 8 * number + 8], pages[number], searches[number])
    return mixed


def measured(bench: Bench, shop: OurShop, phase: Callable[[], Seen]) -> Callable[[], Seen]:
    """What every process and server has used meanwhile."""

    def run() -> Seen:
        shop.becomes_level()
        before, began = uses(bench, shop), time.perf_counter()
        seen = phase()
        seconds, after = time.perf_counter() - began, uses(bench, shop)
        use = {name: {"cpu": after[name].cpu - before[name].cpu, "resident": after[name].resident} for name in after}
        return {**seen, "seconds": seconds, "use": use}

    return run


def uses(bench: Bench, shop: OurShop) -> dict[str, Use]:
    """By process and server; servers that run as containers can't be looked into."""
    ours = (process for process in shop.system.processes if isinstance(process, Measured))
    servers = {server.title: getattr(server.engine, "pid", None) for server in bench.trio.all}
    return {
        **{process.name: Use(process.cpu, process.resident) for process in ours},
        **{title: used_by(pid) for title, pid in servers.items() if pid is not None},
    }


NEEDS: Final = (
    "process",
    "MiB at rest",
    "MiB under load",
    "of a core at rest",
    "of a core under load",
    "ms a command",
    "ms a read",
)


def need(name: str, seen: Mapping[str, list[Seen]]) -> dict[str, Any]:
    """A row of the first table: medians of the rounds."""

    def share(phase: str) -> float:
        # Clients take a moment to start, in which there is no load yet.
        return median(one["use"][name]["cpu"] / one.get("loaded", one["seconds"]) for one in seen[phase])

    def resident(phase: str) -> float:
        return median(one["use"][name]["resident"] for one in seen[phase]) / MIB

    resting = share("at rest")

    def each(phase: str) -> float:
        """Milliseconds of processor time of each command or read, beyond what is used at rest."""
        return 1e3 * median(
            (one["use"][name]["cpu"] - resting * one["seconds"]) / max(1, one["count"]) for one in seen[phase]
        )

    values = (name, resident("at rest"), resident("both"), resting, share("both"), each("commands"), each("reads"))
    return dict(zip(NEEDS, values, strict=True))


def count(shop: OurShop, load: Load) -> dict[str, Counts]:
    """What every process says to its servers: at rest, for the commands, and for the reads."""
    with tapped(shop) as wires:
        load.both()
        shop.becomes_level()
        return {
            "rest": wires.counted(load.rest),
            "commands": wires.counted(load.commands, shop.drawn),
            "reads": wires.counted(load.reads),
        }


TRIPS: Final = ("process", "server", "what", "a command", "an event", "a read")


def needs_of_commands(counted: Mapping[str, Counts]) -> Iterator[dict[str, Any]]:
    """Beyond what is said at rest, and wherever it is worth a line."""
    commands, rest = counted["commands"], counted["rest"]
    for (process, server, what), number in sorted(commands.beyond(rest).items()):
        if number >= commands.count / 1000:
            values = (process, server, what, number / commands.count, number / max(1, commands.events), None)
            yield dict(zip(TRIPS, values, strict=True))


def needs_of_reads(counted: Mapping[str, Counts]) -> Iterator[dict[str, Any]]:
    reads, rest = counted["reads"], counted["rest"]
    for (process, server, what), number in sorted(reads.beyond(rest).items()):
        if process == "query" and number >= reads.count / 1000:
            yield dict(zip(TRIPS, (process, server, what, None, None, number / reads.count), strict=True))


def sizes(shop: OurShop) -> dict[str, float]:
    """Bytes of the tables that grow, and of the outbox, through which everything goes."""
    events, receipts = (int(shop.value(f"SELECT count(*) FROM {table}")) for table in ("events", "receipts"))
    return {
        "postgres bytes an event, without its indexes": table_size(shop, "events") / events,
        "postgres bytes an event, its indexes": index_size(shop, "events") / events,
        "postgres bytes a receipt, with its indexes": (table_size(shop, "receipts") + index_size(shop, "receipts"))
        / receipts,
        "postgres bytes of the outbox, empty afterwards": table_size(shop, "outbox") + index_size(shop, "outbox"),
    }


def table_size(shop: OurShop, table: str) -> int:
    return int(shop.value("SELECT pg_table_size($1::text::regclass)", table))


def index_size(shop: OurShop, table: str) -> int:
    return int(shop.value("SELECT pg_indexes_size($1::text::regclass)", table))


def notes(bench: Bench, products: int) -> list[str]:
    told = [
        f"{products:,} products with {RATINGS} ratings each; under load {COMMANDS_PER_SECOND:g} commands/s (a product, "
        f"a price, stock, an order) and {READS_PER_SECOND:,g} reads/s (of ten, eight products, a list and a search)",
        "a command's or a read's processor time is what is used beyond rest, with all that comes of it; a server's "
        "memory is that of all its processes, with what they share counted once",
    ]
    if any(getattr(server.engine, "pid", None) is None for server in bench.trio.all):
        told.append("servers in containers are left out")
    return told


def details(
    seen: Mapping[str, list[Seen]], rows: list[dict[str, Any]], trips: list[dict[str, Any]], sizes: dict[str, float]
) -> dict[str, Any]:
    return {"phases": dict(seen), "needs": rows, "round trips": trips, "bytes": sizes}


def said(value: str | float | None) -> str:
    """As exact as it is small."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"
