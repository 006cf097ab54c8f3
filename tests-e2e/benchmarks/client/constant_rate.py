"""Requests that come at a constant rate: how long each takes, from the moment at which it was meant to be sent.

A request that finds every connection busy waits, and its wait counts: a server that stops for a while is charged
with all who would have come meanwhile (no coordinated omission).

`{"urls", "requests", "connections", "rate", "warm", "seconds"}`, and `until` for a file whose appearance ends it
earlier. `late` in the answer is by how much the client itself was late.
"""

import asyncio
import time
from collections import deque
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.client.http import Connection, Seen, connect, encode, without_pauses
from benchmarks.client.metronome import Metronome
from benchmarks.figures import distribution
from benchmarks.program import answer

ANSWER_SECONDS = 60.0


class ConstantRate:
    def __init__(self, requests: list[bytes], warm: int) -> None:
        self._requests = requests
        self._warm = warm
        self._free: deque[Connection] = deque()
        self._waiting: deque[tuple[int, float]] = deque()
        self._intended: dict[Connection, float] = {}
        self._outstanding = 0
        self._all_sent = False
        self.seen = Seen()
        self.late: list[float] = []
        self.done = asyncio.Event()
        self.seen.begin()

    def start(self, connections: list[Connection]) -> None:
        self._free.extend(connections)

    def arrive(self, number: int, intended: float) -> None:
        if number == self._warm:
            self.seen.begin()
            self.late.clear()
        self._outstanding += 1
        self._waiting.append((number, intended))
        self._send()

    def last(self) -> None:
        self._all_sent = True
        self._end_if_done()

    def _send(self) -> None:
        while self._waiting and self._free:
            # The one that rested longest: servers close those that nothing comes on for a minute.
            connection = self._free.popleft()
            if not connection.is_open:
                continue
            number, intended = self._waiting.popleft()
            self._intended[connection] = intended
            connection.send(self._requests[number % len(self._requests)])
            self.late.append(time.perf_counter() - intended)

    def answered(self, connection: Connection, status: int, _head: bytes) -> None:
        self.seen.add(status, time.perf_counter() - self._intended[connection])
        self._outstanding -= 1
        if connection.is_open:
            self._free.append(connection)
        self._send()
        self._end_if_done()

    def _end_if_done(self) -> None:
        if self._all_sent and not self._outstanding:
            self.done.set()


async def run(request: dict[str, Any]) -> dict[str, Any]:
    rate, warm, seconds = request["rate"], request.get("warm", 0.0), request["seconds"]
    load = ConstantRate([encode(*each) for each in request["requests"]], int(rate * warm))
    connections = await connect(request["urls"], request["connections"], load.answered)
    load.start(connections)

    until = Path(request["until"]) if "until" in request else None
    Metronome(rate, warm + seconds, load.arrive, load.last, lambda: until is None or not until.exists())
    async with asyncio.timeout(warm + seconds + ANSWER_SECONDS):
        await load.done.wait()
    for connection in connections:
        connection.close()
    return {**load.seen.end(), "intended": rate, "late": distribution(load.late)}


if __name__ == "__main__":
    without_pauses()
    answer(lambda request: uvloop.run(run(request)))
