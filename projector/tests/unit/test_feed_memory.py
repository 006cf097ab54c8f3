"""A page of the log that was let go is out of memory: it does not wait for the garbage collector."""

import gc
import tracemalloc
from collections.abc import AsyncIterator

import httpx

from projector.feed import Feed

PAGE_BYTES = 200_000
PAGES = 20


class Page(httpx.AsyncByteStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"\n" * PAGE_BYTES


class CommandService(httpx.AsyncBaseTransport):
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=Page(), headers={"stockroom-settled": "1"}, request=request)


async def test_pages_that_were_read_do_not_stay_in_memory() -> None:
    async with httpx.AsyncClient(transport=CommandService(), base_url="http://commands") as client:
        feed = Feed(client)
        assert await feed.partition_events(0, None, 1) == []
        gc.disable()
        tracemalloc.start()
        try:
            for _ in range(PAGES):
                assert (await feed.events(0)).events == []
                assert await feed.partition_events(0, None, 1) == []
            kept, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
            gc.enable()
    assert kept < 2 * PAGE_BYTES
