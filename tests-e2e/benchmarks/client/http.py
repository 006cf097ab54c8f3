"""HTTP/1.1 from ready bytes to a status: as little as a client can do, so that it costs little beside what it
measures.
"""

import asyncio
import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlsplit

from benchmarks.figures import distribution

LOST = 0
"""The status of a request whose connection ended before its answer."""

Answered = Callable[["Connection", int, bytes], None]
"""Called with the connection, the status and the head of an answer."""


def encode(method: str, path: str, body: str | None = None, headers: Sequence[tuple[str, str]] = ()) -> bytes:
    """A request as bytes."""
    lines = [f"{method} {path} HTTP/1.1", "host: 127.0.0.1", *(f"{name}: {value}" for name, value in headers)]
    content = b"" if body is None else body.encode()
    if body is not None:
        lines += ["content-type: application/json", f"content-length: {len(content)}"]
    return "\r\n".join([*lines, "", ""]).encode() + content


def header(head: bytes, name: bytes) -> bytes:
    """A header's value; names are in small letters, as uvicorn sends them. Empty: it is not there."""
    at = head.find(b"\r\n" + name + b": ")
    if at < 0:
        return b""
    start = at + len(name) + 4
    end = head.find(b"\r\n", start)
    return head[start:] if end < 0 else head[start:end]


class Connection(asyncio.Protocol):
    """One connection with one request at a time. Answers are read as far as their length."""

    def __init__(self, answered: Answered) -> None:
        self._answered = answered
        self._buffer = b""
        self._asked = False
        self.is_open = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def send(self, request: bytes) -> None:
        self._asked = True
        self._transport.write(request)

    def close(self) -> None:
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            self._buffer = buffer
            return
        at = buffer.find(b"content-length: ", 0, end)
        length = int(buffer[at + 16 : buffer.find(b"\r\n", at)]) if at >= 0 else 0
        if len(buffer) < end + 4 + length:
            self._buffer = buffer
            return
        self._buffer = b""
        self._asked = False
        self._answered(self, int(buffer[9:12]), buffer[:end])

    def connection_lost(self, _error: Exception | None) -> None:
        self.is_open = False
        if self._asked:
            self._asked = False
            self._answered(self, LOST, b"")


async def connect(urls: Sequence[str], count: int, answered: Answered) -> list[Connection]:
    """So many connections, spread evenly over the servers."""
    loop = asyncio.get_running_loop()
    connections = []
    for number in range(count):
        parts = urlsplit(urls[number % len(urls)])
        assert parts.hostname is not None and parts.port is not None
        _, connection = await loop.create_connection(lambda: Connection(answered), parts.hostname, parts.port)
        connections.append(connection)
    return connections


@dataclass(slots=True)
class Seen:
    """What a run saw, from `begin` to `end`."""

    latencies: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    began: float = 0.0
    cpu: float = 0.0

    def begin(self) -> None:
        """What came before was the warm-up."""
        self.latencies.clear()
        self.statuses.clear()
        self.began = time.perf_counter()
        self.cpu = time.process_time()

    def add(self, status: int, latency: float) -> None:
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.latencies.append(latency)

    def end(self) -> dict[str, Any]:
        """As JSON: latencies in seconds; `client` is the share of a processor that the client itself needed."""
        seconds = time.perf_counter() - self.began
        return {
            "seconds": seconds,
            "count": len(self.latencies),
            "rate": len(self.latencies) / seconds,
            "statuses": {str(status): count for status, count in self.statuses.items()},
            "latency": distribution(self.latencies),
            "client": (time.process_time() - self.cpu) / seconds,
        }


def without_pauses() -> None:
    """No collection of garbage in this process: it would be seen as the server's latency."""
    gc.collect()
    gc.disable()
