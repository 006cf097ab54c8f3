"""A rebuild of the whole system's read model under load: no read fails, and none is older than was promised."""

import asyncio
import os
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from stockroom_local.pytest_plugin import new_home
from stockroom_local.servers import Trio
from stockroom_local.servers.requirements import Means
from system import System, program, wait_for

READERS = 32
PRODUCTS = int(os.environ.get("REBUILD_PRODUCTS", "10000"))
"""Each is two events."""

SECONDS = 600 + PRODUCTS / 50
"""Within which each step must end, also on a slow machine."""

TAKEN_TOGETHER = 1000


@pytest.fixture
def alone(server_means: Mapping[str, Means], tmp_path: Path) -> Iterator[System]:
    """A system that no other test sees: its generations are counted from 1."""
    trio = Trio(new_home(), server_means)
    trio.start()
    system = System(trio.environment(), tmp_path)
    try:
        system.start()
        yield system
    finally:
        system.stop()
        trio.discard()


def fill(system: System) -> None:
    """As many products as are asked for, through the queue; returns when they can be read."""
    last = ""
    for start in range(0, PRODUCTS, TAKEN_TOGETHER):
        commands = [
            {"type": "AddNewProduct", "data": {"name": f"Product {n}", "price": "1.00", "initial_stock": 5}}
            for n in range(start, min(PRODUCTS, start + TAKEN_TOGETHER))
        ]
        last = system.command.post("/commands", json=commands).json()["commands"][-1]["status_url"]

    def ended() -> dict[str, Any]:
        status: dict[str, Any] = system.command.get(last, headers={"Prefer": "wait=30"}).json()
        return status if status["completed_at"] else {}

    status = wait_for("the last command's end", ended, SECONDS)
    assert status["status"] == "succeeded", status
    token = status["consistency_token"]
    wait_for("its product to be readable", lambda: system.read("/products", token).status_code == 200, SECONDS)


class Customers:
    """Each changes the price of a product of its own, and must read what it has written, again and again."""

    def __init__(self, system: System) -> None:
        self._system = system
        self.read: Counter[int] = Counter()
        """Answers by status."""
        self.stale: list[str] = []

    async def one(self, number: int) -> None:
        system = self._system
        async with (
            httpx.AsyncClient(base_url=system.api.url, timeout=60) as command,
            httpx.AsyncClient(base_url=system.queries.url, timeout=60) as query,
        ):
            added = await command.post("/products", json={"name": f"Watched {number}", "price": "1.00"})
            path = added.headers["location"]
            for cents in range(1, 10**9):
                price = f"{cents / 100:.2f}"
                changed = await command.post(f"{path}/price-changes", json={"price": price})
                token = changed.headers["consistency-token"]
                await self._reads_back(query, path, price, token)
                listed = await query.get("/products", params={"limit": 5})
                self.read[listed.status_code] += 1

    async def _reads_back(self, query: httpx.AsyncClient, path: str, price: str, token: str) -> None:
        answer = await query.get(path, headers={"consistency-token": token, "prefer": "wait=30"})
        self.read[answer.status_code] += 1
        if answer.status_code == 200 and answer.json()["price"] != price:
            self.stale.append(f"{path}: {answer.json()['price']} instead of {price}")

    @asynccontextmanager
    async def busy(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self.one(number)) for number in range(READERS)]
        try:
            yield
            for task in tasks:
                assert not task.done() or task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def operate(system: System, *arguments: str) -> str:
    """What ``projector`` with these arguments tells; it must succeed."""
    process = await asyncio.create_subprocess_exec(
        program("projector"), *arguments, env=system.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    told, _ = await process.communicate()
    assert process.returncode == 0, told.decode()
    return told.decode()


def generations(system: System) -> dict[int, Any]:
    document = system.command.get("/generations").json()
    return {generation["number"]: generation["status"] for generation in document["generations"]}


@pytest.mark.timeout(3 * SECONDS)
def test_a_rebuild_under_load_fails_no_read_and_no_promise_and_can_be_taken_back(alone: System) -> None:
    fill(alone)
    customers = Customers(alone)

    async def rebuild_and_back() -> None:
        async with customers.busy():
            print(await operate(alone, "rebuild"))  # noqa: T201  its rates, for who asks with -s
            assert await asyncio.to_thread(generations, alone) == {1: "kept", 2: "live"}
            await operate(alone, "switch", "1")
            assert await asyncio.to_thread(generations, alone) == {1: "live", 2: "kept"}
            await operate(alone, "switch", "2")
            await operate(alone, "generations", "drop", "1")
            assert await asyncio.to_thread(generations, alone) == {2: "live"}

    asyncio.run(rebuild_and_back())
    assert customers.read.keys() == {200}, customers.read
    assert customers.stale == []
    print(asyncio.run(operate(alone, "verify")))  # noqa: T201
