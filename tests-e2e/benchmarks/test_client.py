"""The load: requests as bytes, and latencies that count from the intended moment."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from benchmarks.client import closed_loop, constant_rate
from benchmarks.client.http import encode, header

REPLY = b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\nlocation: /products/7\r\nconsistency-token: abc\r\n\r\n{}"


def test_a_request_is_written_with_its_length_in_bytes() -> None:
    assert encode("GET", "/a") == b"GET /a HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"
    assert encode("POST", "/a", '{"é":1}', [("prefer", "wait=1")]).split(b"\r\n") == [
        b"POST /a HTTP/1.1",
        b"host: 127.0.0.1",
        b"prefer: wait=1",
        b"content-type: application/json",
        b"content-length: 8",
        b"",
        '{"é":1}'.encode(),
    ]


def test_a_header_is_found_in_the_head_of_an_answer() -> None:
    head = REPLY.partition(b"\r\n\r\n")[0]
    assert header(head, b"consistency-token") == b"abc"
    assert header(head, b"location") == b"/products/7"
    assert header(head, b"etag") == b""


class Answering(asyncio.Protocol):
    """Answers in two pieces; its first answer takes `pause` seconds."""

    def __init__(self, pause: float) -> None:
        self._pause = pause

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, _data: bytes) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(self._pause, self._transport.write, REPLY[:30])
        loop.call_later(self._pause + 0.001, self._transport.write, REPLY[30:])
        self._pause = 0.0


@asynccontextmanager
async def server(pause: float = 0.0) -> AsyncIterator[str]:
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(lambda: Answering(pause), "127.0.0.1", 0)
    async with listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    await asyncio.sleep(0.05)  # the connections' ends are heard of


def asked(url: str, **options: Any) -> dict[str, Any]:
    return {"urls": [url], "requests": [["GET", "/", None]], "connections": 2, "warm": 0.0, **options}


async def test_a_closed_loop_sends_as_many_requests_as_it_may() -> None:
    async with server() as url:
        seen = await closed_loop.run(asked(url, seconds=30.0, most=50))
    assert seen["count"] == 50
    assert seen["statuses"] == {"201": 50}


async def test_at_a_constant_rate_those_who_wait_for_a_connection_are_charged_with_their_wait() -> None:
    async with server(pause=0.4) as url:
        seen = await constant_rate.run(asked(url, rate=50.0, seconds=0.5, connections=1))
    assert seen["count"] == 25
    # The first takes 0.4 s. The tenth would have been sent after 0.2 s and so waits for as long.
    latency = seen["latency"]
    assert latency["1.0"] >= 0.4
    assert latency["0.5"] >= 0.1


async def test_at_a_constant_rate_no_connection_rests_until_its_server_closes_it() -> None:
    """A request on a closed one would never be answered, and the run never end."""
    used: set[int] = set()

    class Noting(Answering):
        def data_received(self, data: bytes) -> None:
            used.add(id(self))
            super().data_received(data)

    listening = await asyncio.get_running_loop().create_server(lambda: Noting(0.0), "127.0.0.1", 0)
    async with listening:
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        seen = await constant_rate.run(asked(url, rate=100.0, seconds=0.3, connections=8))
    assert (seen["count"], len(used)) == (30, 8)
