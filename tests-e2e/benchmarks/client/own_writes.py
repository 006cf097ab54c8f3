"""Clients who write and then read what they wrote, by its consistency token.

`{"commands", "queries", "body", "warm", "seconds", "clients"}`: so many clients, each going on as soon as it has
read (what the system can hold, because nobody runs ahead of the read model). With `"rate"` as well, writes come at a
constant rate, each taken by a client who is free; a write that finds none waits, and its wait counts.

In the answer, `readable` is from the 201 to the token's 200, `written` from the intended moment to the 201,
`latency` from the intended moment to the 200; seconds.
"""

import asyncio
import time
from collections import deque
from typing import Any

import uvloop

from benchmarks.client.http import Connection, Seen, connect, encode, header, without_pauses
from benchmarks.client.metronome import Metronome
from benchmarks.figures import distribution
from benchmarks.program import answer

ANSWER_SECONDS = 60.0


class Client:
    """One who writes and reads, on a connection to each API."""

    def __init__(self, run: "OwnWrites") -> None:
        self._run = run
        self.intended = 0.0
        self.written = 0.0
        self.command: Connection
        self.query: Connection

    def write(self, intended: float) -> None:
        self.intended = intended
        self.command.send(self._run.request)

    def has_written(self, _connection: Connection, status: int, head: bytes) -> None:
        self.written = time.perf_counter()
        if status != 201:
            self._run.finished(self, status)
            return
        token = header(head, b"consistency-token").decode()
        path = header(head, b"location").decode()
        self.query.send(encode("GET", path, None, [("consistency-token", token), ("prefer", "wait=30")]))

    def has_read(self, _connection: Connection, status: int, _head: bytes) -> None:
        self._run.finished(self, 201 if status == 200 else status)


class OwnWrites:
    def __init__(self, request: bytes, rate: float | None) -> None:
        self.request = request
        self._rate = rate
        self._clients: list[Client] = []
        self._waiting: deque[float] = deque()
        self._outstanding = 0
        self._until = 0.0
        self._all_sent = rate is None
        self.seen = Seen()
        self.readable: list[float] = []
        self.written: list[float] = []
        self.done = asyncio.Event()
        self.seen.begin()

    def begin(self) -> None:
        """The warm-up is over."""
        self.seen.begin()
        self.readable.clear()
        self.written.clear()

    async def open(self, commands: list[str], queries: list[str], count: int) -> None:
        for number in range(count):
            client = Client(self)
            [client.command] = await connect([commands[number % len(commands)]], 1, client.has_written)
            [client.query] = await connect([queries[number % len(queries)]], 1, client.has_read)
            self._clients.append(client)

    def go_round(self, seconds: float) -> None:
        """Every client goes on by itself, for so long."""
        self._until = time.perf_counter() + seconds
        self._outstanding = len(self._clients)
        for client in self._clients:
            client.write(time.perf_counter())

    def arrive(self, _number: int, intended: float) -> None:
        self._outstanding += 1
        self._waiting.append(intended)
        self._send()

    def last(self) -> None:
        """No more writes will come."""
        self._all_sent = True
        self._end_if_done()

    def _send(self) -> None:
        while self._waiting and self._clients:
            self._clients.pop().write(self._waiting.popleft())

    def finished(self, client: Client, status: int) -> None:
        now = time.perf_counter()
        self.seen.add(status, now - client.intended)
        self.readable.append(now - client.written)
        self.written.append(client.written - client.intended)
        if self._rate is None and now < self._until and status == 201:
            client.write(now)
            return
        self._outstanding -= 1
        if self._rate is not None:
            self._clients.append(client)
            self._send()
        self._end_if_done()

    def _end_if_done(self) -> None:
        if self._all_sent and not self._outstanding:
            self.done.set()


async def run(request: dict[str, Any]) -> dict[str, Any]:
    warm, seconds, rate = request.get("warm", 0.0), request["seconds"], request.get("rate")
    clients = OwnWrites(encode("POST", "/products", request["body"]), rate)
    await clients.open(request["commands"], request["queries"], request["clients"])
    asyncio.get_running_loop().call_later(warm, clients.begin)
    if rate is None:
        clients.go_round(warm + seconds)
    else:
        Metronome(rate, warm + seconds, clients.arrive, clients.last)
    async with asyncio.timeout(warm + seconds + ANSWER_SECONDS):
        await clients.done.wait()
    return {
        **clients.seen.end(),
        "readable": distribution(clients.readable),
        "written": distribution(clients.written),
    }


if __name__ == "__main__":
    without_pauses()
    answer(lambda request: uvloop.run(run(request)))
