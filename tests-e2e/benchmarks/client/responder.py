"""A server that answers every request with the same bytes and looks at none: what the client itself can do at most.

``python -m benchmarks.client.responder PORT BYTES``
"""

import asyncio
import sys
from typing import cast

import uvloop


class Responder(asyncio.Protocol):
    def __init__(self, reply: bytes) -> None:
        self._reply = reply

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(self._reply)


async def serve(port: int, size: int) -> None:
    reply = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size + b"x" * size
    server = await asyncio.get_running_loop().create_server(lambda: Responder(reply), "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2])))
