"""The load: clients at a bounded rate, in a thread of their own, beside the proxies."""

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from random import Random
from typing import Any, Final, TypeVar

import httpx

from chaos.client import Client, Street
from chaos.reading import LONG_WAIT, Reading
from chaos.record import Record
from chaos.sending import Broker, Sending

T = TypeVar("T")

CLIENTS: Final = 10
ACTIONS_A_SECOND: Final = 4.0
"""Of each client, at most: the load is the same on any machine that can bear it."""


class Loop:
    """An event loop in a thread: what it runs goes on while the main thread does something to the system."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="chaos-load", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T], seconds: float = 60) -> T:
        """The result of a coroutine that runs there."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(seconds)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Load:
    """Runs between `start` and `stop`, which belong to the loop that its clients live in."""

    def __init__(
        self, commands: Sequence[str], queries: Sequence[str], rabbitmq_url: str, record: Record, seed: int
    ) -> None:
        self._commands = commands
        self._queries = queries
        self._rabbitmq_url = rabbitmq_url
        self._record = record
        self._seed = seed
        self._ending = False
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        limits = httpx.Limits(max_connections=4 * CLIENTS, max_keepalive_connections=4 * CLIENTS)
        self._http = httpx.AsyncClient(timeout=LONG_WAIT + 15, limits=limits)
        self._broker = Broker(self._rabbitmq_url)
        street = Street()
        for number in range(CLIENTS):
            random = Random(f"{self._seed} {number}")
            name = f"client{number}-{self._seed}"
            sending = Sending(name, self._http, self._commands, self._broker, self._record, random)
            reading = Reading(self._http, self._queries, self._record, random)
            client = Client(number, sending, reading, self._record, street, random)
            self._tasks.append(asyncio.create_task(self._run(client, random)))

    async def _run(self, client: Client, random: Random) -> None:
        while not self._ending:
            began = asyncio.get_running_loop().time()
            await client.act()
            pause = random.uniform(0, 2 / ACTIONS_A_SECOND) - (asyncio.get_running_loop().time() - began)
            await asyncio.sleep(max(0.0, pause))

    def check(self) -> None:
        """Raises what has ended a client."""
        for task in self._tasks:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                raise error

    async def stop(self, seconds: float) -> int:
        """Lets every client end what it is at; how many did not within so many seconds."""
        self._ending = True
        _, late = await asyncio.wait(self._tasks, timeout=max(seconds, 0.01))
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        await self._broker.close()
        await self._http.aclose()
        return len(late)
