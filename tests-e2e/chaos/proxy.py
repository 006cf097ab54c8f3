"""A TCP proxy between one process and one server, which can cut connections, also in the middle of a message."""

import asyncio
import socket
import struct
from contextlib import suppress

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER of 0 seconds: closing sends a reset, as a dead machine's kernel would."""


class Proxy:
    """Listens on 127.0.0.1; every connection to it is one to `target` (a port), until it is cut.

    Its methods may be called from any thread; the loop that it was started in does the work.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._open: set[asyncio.StreamWriter] = set()
        self._left: int | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.cuts = 0
        self.port = 0

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        self._drop()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def is_armed(self) -> bool:
        """Whether a cut is still to come."""
        return self._left is not None

    def cut_after(self, count: int) -> None:
        """So many bytes more, in both directions together; the connection that carries the last of them is cut."""
        self._left = count

    def forget(self) -> None:
        """Cuts nothing any more."""
        self._left = None

    def drop(self) -> None:
        """Cuts every connection now."""
        self._loop.call_soon_threadsafe(self._drop)

    def _drop(self) -> None:
        for writer in list(self._open):
            _reset(writer)
        self._open.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._open.add(writer)
        server = None
        try:
            server_reader, server = await asyncio.open_connection("127.0.0.1", self._target)
            self._open.add(server)
            pumps = [
                asyncio.ensure_future(self._pump(reader, server)),
                asyncio.ensure_future(self._pump(server_reader, writer)),
            ]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
        except OSError:
            pass  # the server is down: the process is told by a closed connection
        finally:
            for each in (writer, server):
                if each is not None:
                    self._open.discard(each)
                    each.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                if self._left is not None:
                    if len(data) >= self._left:
                        data, self._left = data[: self._left], None
                        self.cuts += 1
                        writer.write(data)
                        return
                    self._left -= len(data)
                writer.write(data)
                await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    connection: socket.socket | None = writer.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
