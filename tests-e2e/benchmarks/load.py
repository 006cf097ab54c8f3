"""A closed-loop HTTP load: so many connections, each sending its next request when the last was answered.

Requests are ready bytes and responses are only read as far as their length, so that on the same machine the load
costs little beside what it measures.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

import uvloop

ANSWER_SECONDS = 30.0
"""Seconds after the end of a run in which its last answers must have come."""

MakeRequest = Callable[[int], bytes]
"""The n-th request of the run, as bytes."""


@dataclass
class Result:
    """What a run saw. Latencies are in seconds."""

    seconds: float
    statuses: Counter[int] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def request(method: str, path: str, host: str, body: bytes = b"", headers: str = "") -> bytes:
    """An HTTP/1.1 request as bytes."""
    content = f"content-type: application/json\r\ncontent-length: {len(body)}\r\n" if body else ""
    return f"{method} {path} HTTP/1.1\r\nhost: {host}\r\n{content}{headers}\r\n".encode() + body


class _Connection(asyncio.Protocol):
    def __init__(self, run: "_Run") -> None:
        self._run = run
        self._buffer = b""
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def _send(self) -> None:
        following = self._run.next_request()
        if following is None:
            self._transport.close()
            return
        self._sent = time.perf_counter()
        self._transport.write(following)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            self._buffer = buffer
            return
        head = buffer[:end].lower()
        at = head.find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(buffer) < end + 4 + length:
            self._buffer = buffer
            return
        self._buffer = b""
        self._run.record(int(head[9:12]), time.perf_counter() - self._sent)
        self._send()

    def connection_lost(self, _error: Exception | None) -> None:
        self._run.close_one()


class _Run:
    def __init__(self, make: MakeRequest, seconds: float, most: int | None, connections: int) -> None:
        self._make = make
        self._most = most
        self._count = 0
        self._open = connections
        self.done = asyncio.Event()
        self.result = Result(0.0)
        self.started = time.perf_counter()
        self._until = self.started + seconds

    def next_request(self) -> bytes | None:
        if time.perf_counter() >= self._until or (self._most is not None and self._count >= self._most):
            return None
        self._count += 1
        return self._make(self._count)

    def record(self, status: int, latency: float) -> None:
        self.result.statuses[status] += 1
        self.result.latencies.append(latency)

    def close_one(self) -> None:
        self._open -= 1
        if self._open == 0:
            self.done.set()


async def _load(url: str, make: MakeRequest, connections: int, seconds: float, most: int | None) -> Result:
    parts = urlsplit(url)
    run = _Run(make, seconds, most, connections)
    loop = asyncio.get_running_loop()
    for _ in range(connections):
        await loop.create_connection(lambda: _Connection(run), parts.hostname, parts.port)
    async with asyncio.timeout(seconds + ANSWER_SECONDS):
        await run.done.wait()
    run.result.seconds = time.perf_counter() - run.started
    return run.result


def load(
    url: str, make: MakeRequest, *, connections: int = 64, seconds: float = 10.0, most: int | None = None
) -> Result:
    """Runs for `seconds`, or until `most` requests were sent."""
    return uvloop.run(_load(url, make, connections, seconds, most))
