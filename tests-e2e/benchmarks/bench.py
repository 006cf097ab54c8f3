"""Stockroom beside what a user would pick instead, in one run on one machine: ``make bench``.

Durability is on, on both sides. Every figure has its peer from the same run; a rate alone says nothing. What is
measured runs as its own process, with the whole pipeline behind our side.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from load import Result, load, request

from stockroom_local.pytest_plugin import new_home
from stockroom_local.servers import Trio
from stockroom_local.servers.install import obtain
from stockroom_local.servers.trio import REQUIREMENTS

sys.path.insert(0, str(Path(__file__).parent.parent))

from system import Process, System, free_port, program, wait_for

SECONDS = float(os.environ.get("BENCH_SECONDS", "10"))
BACKLOG = int(os.environ.get("BENCH_BACKLOG", "50000"))
HERE = Path(__file__).parent
PRODUCT = b'{"name":"iPhone 15 Pro","price":"999.99","category":"Phones","initial_stock":3}'


class Table:
    """The figures, as they come."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def add(self, what: str, ours: float, unit: str, peer: str = "", theirs: float | None = None) -> None:
        ratio = ours / theirs if theirs else None
        self.rows.append({"what": what, "ours": ours, "unit": unit, "peer": peer, "theirs": theirs, "ratio": ratio})
        beside = f"{peer}: {theirs:,.1f}   ratio {ratio:.2f}" if theirs and ratio else ""
        print(f"{what:<52} {ours:>12,.1f} {unit:<10} {beside}", flush=True)


@contextmanager
def peer(name: str, folder: Path, **environment: str) -> Iterator[str]:
    """One of `peers.py` under uvicorn, as our services run."""
    port = free_port()
    command = [program("uvicorn"), "--app-dir", str(HERE), f"peers:{name}", "--port", str(port), "--no-access-log"]
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=output, stderr=output)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(f"{name} answers", lambda: _answers(url))
        yield url
    finally:
        process.terminate()
        process.wait()


def _answers(url: str) -> bool:
    try:
        httpx.get(f"{url}/docs")
    except httpx.TransportError:
        return False
    return True


def post_products(url: str) -> Result:
    ready = request("POST", "/products", "127.0.0.1", PRODUCT)
    result = load(url, lambda _n: ready, seconds=SECONDS)
    assert set(result.statuses) == {201}, result.statuses
    return result


def commands(table: Table, system: System, folder: Path, crud_url: str) -> None:
    with peer("nothing", folder) as url:
        nothing = post_products(url)
    with peer("crud", folder, CRUD_URL=crud_url) as url:
        crud = post_products(url)
    ours = post_products(system.api.url)
    table.add("POST /products, 64 connections", ours.rate, "/s", "FastAPI, does nothing", nothing.rate)
    table.add("POST /products, 64 connections", ours.rate, "/s", "FastAPI + SQLAlchemy insert", crud.rate)
    table.add("POST /products, p99", ours.percentile(0.99) * 1e3, "ms", "CRUD p99", crud.percentile(0.99) * 1e3)


def drain(table: Table, system: System) -> None:
    """A backlog through the relay, and then through the projector, each alone."""
    wait_for("the pipeline is quiet", lambda: _outbox(system) == 0 and _lag(system) == 0, 300)
    system.relay.kill()
    ids = [system.add_product(name=f"Backlog {n}", initial_stock=1).json()["id"] for n in range(1000)]
    system.projector.kill()
    choice = random.Random(7)

    def change(n: int) -> bytes:
        product = choice.choice(ids)
        if n % 3 == 0:
            body = b'{"rating":%d}' % (n % 5 + 1)
            return request("PUT", f"/products/{product}/ratings/user{n % 97}", "127.0.0.1", body)
        if n % 3 == 1:
            return request("POST", f"/products/{product}/price-changes", "127.0.0.1", b'{"price":%d}' % n)
        return request("POST", f"/inventory/{product}/additions", "127.0.0.1", b'{"quantity":1}')

    load(system.api.url, change, seconds=600, most=BACKLOG - 2000)
    system.relay.start()
    table.add(
        f"relay, a backlog of {BACKLOG:,}", _drained(system.relay, "stockroom_events_published_total"), "events/s"
    )
    system.projector.start(ready=False)
    table.add(
        "projector, the same backlog",
        _drained(system.projector, "stockroom_projector_events_applied_total"),
        "events/s",
    )


def _outbox(system: System) -> float:
    return system.relay.metric("stockroom_outbox_depth")


def _lag(system: System) -> float:
    return system.projector.metric("stockroom_projector_lag_events")


def _drained(process: Process, counter: str) -> float:
    """Events a second between the first and the last that the process counts."""
    seen: list[tuple[float, float]] = []
    idle = 0
    while idle < 40:
        try:
            count = process.metric(counter)
        except httpx.TransportError:
            count = 0.0
        if count and (not seen or count > seen[-1][1]):
            seen.append((time.perf_counter(), count))
            idle = 0
        elif seen:
            idle += 1
        time.sleep(0.05)
    (first, start), (last, end) = seen[0], seen[-1]
    return (end - start) / max(last - first, 0.05)


def readable(table: Table, system: System) -> None:
    """From a 201 to the same token answered, while other clients write at about half of what the system can take."""
    wait_for("the read model is level", lambda: _lag(system) == 0, 300)
    background = subprocess.Popen([sys.executable, str(HERE / "background.py"), system.api.url, "150", "12"])
    latencies = []
    until = time.perf_counter() + 10
    while time.perf_counter() < until:
        added = system.add_product()
        created = time.perf_counter()
        read = system.read(added.headers["location"], added.headers["consistency-token"])
        assert read.status_code == 200, read.text
        latencies.append(time.perf_counter() - created)
    background.wait()
    latencies.sort()
    table.add("201 to readable, p50", latencies[len(latencies) // 2] * 1e3, "ms")
    table.add("201 to readable, p99", latencies[int(len(latencies) * 0.99)] * 1e3, "ms")


def reads(table: Table, system: System, folder: Path, crud_url: str) -> None:
    added = [system.add_product(name=f"Read {n}", category="Phones", initial_stock=3) for n in range(100)]
    ids = [response.json()["id"] for response in added]
    tokens = ",".join(response.headers["consistency-token"] for response in added)
    body = len(system.read(f"/products/{ids[0]}", tokens).content)
    requests = [request("GET", f"/products/{product}", "127.0.0.1") for product in ids]
    ours = load(system.queries.url, lambda n: requests[n % len(requests)], seconds=SECONDS)
    assert set(ours.statuses) == {200}, ours.statuses
    with peer("bare", folder, BARE_BYTES=str(body)) as url:
        bare = load(url, lambda n: requests[n % len(requests)], seconds=SECONDS)
    with peer("crud", folder, CRUD_URL=crud_url) as url:
        made = [httpx.post(f"{url}/products", json=json.loads(PRODUCT)).json()["id"] for _ in range(100)]
        theirs = [request("GET", f"/products/{product}", "127.0.0.1") for product in made]
        crud = load(url, lambda n: theirs[n % len(theirs)], seconds=SECONDS)
    table.add("GET /products/{id}, 64 connections", ours.rate, "/s", "bare ASGI, same bytes", bare.rate)
    table.add("GET /products/{id}, 64 connections", ours.rate, "/s", "CRUD, join", crud.rate)
    table.add("GET /products/{id}, p99", ours.percentile(0.99) * 1e3, "ms", "CRUD p99", crud.percentile(0.99) * 1e3)


def orders(table: Table, system: System) -> None:
    """Orders of one piece, of many products and of the same three: what contention for stock costs."""
    ids = [system.add_product(initial_stock=1_000_000_000).json()["id"] for _ in range(1000)]

    def place(products: list[str]) -> Result:
        bodies = [b'{"customer_id":"c","lines":[{"product_id":"%s","quantity":1}]}' % p.encode() for p in products]
        ready = [request("POST", "/orders", "127.0.0.1", body) for body in bodies]
        result = load(system.api.url, lambda n: ready[n % len(ready)], seconds=SECONDS)
        assert set(result.statuses) == {201}, result.statuses
        return result

    spread, contended = place(ids), place(ids[:3])
    table.add("POST /orders, 64 connections, 1,000 products", spread.rate, "/s")
    table.add("POST /orders, p99", spread.percentile(0.99) * 1e3, "ms")
    table.add("POST /orders, the same 3 products", contended.rate, "/s", "1,000 products", spread.rate)


def queued(table: Table, system: System) -> None:
    """A backlog of accepted commands: accepting it, and draining it from the broker to committed."""
    ids = [system.add_product(initial_stock=1).json()["id"] for _ in range(1000)]
    system.worker.kill()
    count = BACKLOG // 1000 * 1000
    started = time.perf_counter()
    for first in range(0, count, 1000):
        batch = [
            {"type": "AddToInventory", "data": {"product_id": ids[n], "quantity": 1}, "id": f"queued-{first + n}"}
            for n in range(1000)
        ]
        assert system.command.post("/commands", json=batch).status_code == 202
    table.add("POST /commands of 1,000, one client", count / (time.perf_counter() - started), "commands/s")
    wait_for("the broker has all", lambda: _outbox(system) == 0, 300)
    system.worker.start(ready=False)
    rate = _drained(system.worker, "stockroom_commands_total")
    table.add(f"worker, a backlog of {count:,}", rate, "commands/s")


def soak(table: Table, system: System) -> None:
    """64 clients that read their own writes for a minute, in documents, lists and searches: none sees an older one."""
    seconds = float(os.environ.get("BENCH_SOAK_SECONDS", "60"))
    command = [sys.executable, str(HERE / "read_own_writes.py"), system.api.url, system.queries.url, "64", str(seconds)]
    seen = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    table.add("reads of one's own write, 64 clients", seen["reads"], "reads")
    table.add("... of them older than the write", seen["stale"], "reads")
    table.add("... of them 503 read-model-behind", seen["behind"], "reads")


PARTS: dict[str, Callable[..., None]] = {
    "commands": commands,
    "reads": reads,
    "orders": orders,
    "queued": queued,
    "drain": drain,
    "readable": readable,
    "soak": soak,
}


def main(chosen: list[str]) -> None:
    trio = Trio(new_home(), obtain(REQUIREMENTS, print, throwaway=True))
    folder = Path(tempfile.mkdtemp(prefix="stockroom-bench-"))
    trio.start()
    system = System(trio.environment(), folder)
    try:
        trio.postgres.create_database("crud")
        crud_url = trio.postgres.database_url("crud").replace("postgresql://", "postgresql+asyncpg://")
        system.start()
        table = Table()
        for name in chosen or PARTS:
            if name in ("commands", "reads"):
                PARTS[name](table, system, folder, crud_url)
            else:
                PARTS[name](table, system)
        (folder / "figures.json").write_text(json.dumps(table.rows, indent=2))
        print(f"Figures as JSON: {folder / 'figures.json'}")
    finally:
        system.stop()
        trio.discard()


if __name__ == "__main__":
    main(sys.argv[1:])
