"""So many connections, each sending its next request when the last was answered: how much a server can do.

`{"urls", "requests": [[method, path, body], …], "connections", "warm", "seconds", "most"}`: the requests go round;
`warm` seconds come first and are not counted; `most` ends the run after so many requests.
"""

import asyncio
import time
from typing import Any

import uvloop

from benchmarks.client.http import Connection, Seen, connect, encode, without_pauses
from benchmarks.program import answer

ANSWER_SECONDS = 60.0
"""Seconds after the end of a run in which its last answers must have come."""


class ClosedLoop:
    def __init__(self, requests: list[bytes], warm: float, seconds: float, most: int | None) -> None:
        self._requests = requests
        self._most = most
        self._sent = 0
        self._open = 0
        self._warm_until = time.perf_counter() + warm
        self._until = self._warm_until + seconds
        self._sent_at: dict[Connection, float] = {}
        self._warming = warm > 0
        self.seen = Seen()
        self.done = asyncio.Event()
        self.seen.begin()

    def start(self, connections: list[Connection]) -> None:
        self._open = len(connections)
        for connection in connections:
            self._next(connection)

    def answered(self, connection: Connection, status: int, _head: bytes) -> None:
        now = time.perf_counter()
        self.seen.add(status, now - self._sent_at[connection])
        if self._warming and now >= self._warm_until:
            self._warming = False
            self.seen.begin()
        self._next(connection)

    def _next(self, connection: Connection) -> None:
        now = time.perf_counter()
        if not connection.is_open or now >= self._until or self._sent == self._most:
            connection.close()
            self._open -= 1
            if not self._open:
                self.done.set()
            return
        self._sent_at[connection] = now
        connection.send(self._requests[self._sent % len(self._requests)])
        self._sent += 1


async def run(request: dict[str, Any]) -> dict[str, Any]:
    requests = [encode(*each) for each in request["requests"]]
    warm, seconds = request.get("warm", 0.0), request["seconds"]
    loop = ClosedLoop(requests, warm, seconds, request.get("most"))
    loop.start(await connect(request["urls"], request["connections"], loop.answered))
    async with asyncio.timeout(warm + seconds + ANSWER_SECONDS):
        await loop.done.wait()
    return loop.seen.end()


if __name__ == "__main__":
    without_pauses()
    answer(lambda request: uvloop.run(run(request)))
