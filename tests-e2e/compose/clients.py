"""Clients of the shop at a steady pace while something is done to it; each remembers what it was promised."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final
from uuid import uuid4

import httpx

from system import Shop

PAUSE: Final = 0.05
"""Seconds between two requests of one client."""

AT_ONCE: Final = 100
"""Ids that may be asked for in one request."""


class Clients:
    """Ten of them, in a thread of their own from entering to leaving; then `failures` and `check` tell what was broken.

    A request is one failure if it is not answered as it should be within `patience` seconds. With patience it is sent
    again and again under the same Idempotency-Key; without, once, and with no key of its own, as most clients do.
    """

    def __init__(self, url: str, *, patience: float = 0) -> None:
        self.failures: list[str] = []
        self.requests = 0
        self.repeated = 0
        self._url = url
        self._patience = patience
        self._going = True
        self._added: list[tuple[str, str]] = []
        self._queued: list[str] = []
        self._stock: dict[str, int] = {}
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self) -> "Clients":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._going = False
        self._thread.join()

    def check(self) -> None:
        """Fails the test unless every promise was kept: each acknowledged write readable, none done twice."""
        shop = Shop(self._url, self._url)
        for location, token in self._added:
            assert shop.read(location, token).status_code == 200, location
        for start in range(0, len(self._queued), AT_ONCE):
            ids = ",".join(self._queued[start : start + AT_ONCE])
            items = shop.command.get("/commands", params={"ids": ids}, headers={"Prefer": "wait=30"}).json()["items"]
            assert len(items) == ids.count(",") + 1
            ends = {item["status"] for item in items}
            assert ends == {"succeeded"}, [item for item in items if item["status"] != "succeeded"]
        for product, expected in self._stock.items():
            # One more command, so that there is a token which stands behind all of them.
            last = shop.command.post(f"/inventory/{product}/additions", json={"quantity": 1})
            seen = shop.read(f"/inventory/{product}", last.headers["consistency-token"]).json()["current_stock"]
            assert seen == expected + 1, (
                f"{product}: {expected} additions were acknowledged, {seen - 1} are in the shop"
            )
        shop.close()

    @property
    def promises(self) -> int:
        """Writes that were acknowledged."""
        return len(self._added) + sum(self._stock.values())

    def __str__(self) -> str:
        told = f"{self.requests} requests, {self.promises} writes acknowledged, {self.repeated} requests sent again"
        return f"{told}, {len(self.failures)} failed"

    async def _run(self) -> None:
        kinds = [self._sell] * 3 + [self._queue] * 2 + [self._submit] + [self._add] + [self._browse] * 3
        limits = httpx.Limits(max_connections=len(kinds), max_keepalive_connections=len(kinds))
        async with httpx.AsyncClient(base_url=self._url, timeout=60, limits=limits) as http:
            await asyncio.gather(*(self._client(kind, http) for kind in kinds))

    async def _client(
        self, kind: Callable[[httpx.AsyncClient], Coroutine[Any, Any, None]], http: httpx.AsyncClient
    ) -> None:
        try:
            await kind(http)
        except _GivenUp as failure:
            self.failures.append(str(failure))

    async def _product(self, http: httpx.AsyncClient) -> str:
        added = await self._send(http, "POST", "/products", 201, json={"name": f"Load {uuid4()}", "price": "1"})
        product = str(added.json()["id"])
        self._stock[product] = 0
        return product

    async def _sell(self, http: httpx.AsyncClient) -> None:
        """Changes its product's stock at once, and reads each change back."""
        product = await self._product(http)
        while self._going:
            path = f"/inventory/{product}/additions"
            done = await self._send(http, "POST", path, 204, json={"quantity": 1})
            self._stock[product] += 1
            headers = {"Consistency-Token": done.headers["consistency-token"], "Prefer": "wait=30"}
            read = await self._send(http, "GET", f"/inventory/{product}", 200, headers=headers)
            seen = read.json()["current_stock"]
            if seen != self._stock[product]:
                raise _GivenUp(f"{self._stock[product]} additions were acknowledged, and {seen} seen")

    async def _queue(self, http: httpx.AsyncClient) -> None:
        """Has its commands accepted for later."""
        product = await self._product(http)
        headers = {"Prefer": "respond-async"}
        while self._going:
            path = f"/inventory/{product}/additions"
            accepted = await self._send(http, "POST", path, 202, json={"quantity": 1}, headers=headers)
            self._stock[product] += 1
            self._queued.append(accepted.headers["location"].rpartition("/")[2])

    async def _submit(self, http: httpx.AsyncClient) -> None:
        """Sends arrays of commands with ids of their own. The proxy sends none of them again: told to, we do."""
        product = await self._product(http)
        while self._going:
            ids = [str(uuid4()) for _ in range(3)]
            data = {"product_id": product, "quantity": 1}
            commands = [{"type": "AddToInventory", "data": data, "id": one} for one in ids]
            await self._send(http, "POST", "/commands", 202, json=commands, patience=max(self._patience, 10))
            self._stock[product] += len(ids)
            self._queued += ids

    async def _add(self, http: httpx.AsyncClient) -> None:
        """Adds one product after the other."""
        while self._going:
            added = await self._send(http, "POST", "/products", 201, json={"name": f"Load {uuid4()}", "price": "1"})
            self._added.append((added.headers["location"], added.headers["consistency-token"]))

    async def _browse(self, http: httpx.AsyncClient) -> None:
        """Reads lists."""
        while self._going:
            for path in ("/products?sort=price&limit=10", "/products?search=load", "/categories", "/orders"):
                await self._send(http, "GET", path, 200)

    async def _send(
        self,
        http: httpx.AsyncClient,
        method: str,
        path: str,
        status: int,
        *,
        patience: float | None = None,
        **more: Any,
    ) -> httpx.Response:
        patience = self._patience if patience is None else patience
        if self._patience and method != "GET" and path != "/commands":
            more["headers"] = {**more.get("headers", {}), "Idempotency-Key": str(uuid4())}
        deadline = time.monotonic() + patience
        while True:
            await asyncio.sleep(PAUSE)
            self.requests += 1
            answer, said = await self._try(http, method, path, **more)
            if answer is not None and answer.status_code == status:
                return answer
            if time.monotonic() > deadline or (answer is not None and answer.status_code < 500):
                raise _GivenUp(f"{time.strftime('%X')} {method} {path}: {said}")
            self.repeated += 1
            await asyncio.sleep(0.2)

    async def _try(
        self, http: httpx.AsyncClient, method: str, path: str, **more: Any
    ) -> tuple[httpx.Response | None, str]:
        try:
            answer = await http.request(method, path, **more)
        except httpx.TransportError as error:
            return None, repr(error)
        return answer, f"{answer.status_code} {answer.text[:300]}"


class _GivenUp(Exception):
    """A client was not served as it should have been."""
