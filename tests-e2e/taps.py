"""Taps on the wire between our processes and their servers: every round trip, and what was said in it.

A tap is a TCP proxy that follows the protocol, so it counts what was really sent, whatever client library sent it and
whatever that says of itself. A round trip begins with what a client sends while nothing of its connection is
unanswered; what it sends before the answer belongs to the same one.
"""

import asyncio
import re
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Protocol

import hiredis


@dataclass(slots=True)
class RoundTrip:
    """`by` is what the connection calls itself, where the protocol has it do so."""

    by: str
    said: list[str] = field(default_factory=list)
    """Postgres: the statements, as the tags that it completed them with. Redis: the commands."""


class Dialogue(Protocol):
    """One connection, heard from both sides."""

    def from_client(self, data: bytes) -> None: ...

    def from_server(self, data: bytes) -> None: ...


class Tap:
    """Listens on 127.0.0.1; every connection to it is one to `target` (a port), and `heard` has what went over it.

    What is in `heard` was heard before the client got its answer.
    """

    def __init__(self, target: int, dialogue: Callable[[list[RoundTrip]], Dialogue]) -> None:
        self._target = target
        self._dialogue = dialogue
        self._tasks: set[asyncio.Task[None]] = set()
        self._news = asyncio.Event()
        self.heard: list[RoundTrip] = []
        self.port = 0

    async def __aenter__(self) -> "Tap":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def url(self, url: str) -> str:
        """The same server by way of this tap."""
        return re.sub(r"127\.0\.0\.1:\d+", f"127.0.0.1:{self.port}", url)

    def forget(self) -> None:
        """From here on it is heard anew."""
        self.heard.clear()

    def said(self, by: str = "") -> list[tuple[str, ...]]:
        """The round trips so far, in their order: those of connections that call themselves `by`, or of all."""
        return [tuple(trip.said) for trip in self.heard if by in ("", trip.by)]

    async def until(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        """Waits for what was heard to fulfil a condition; fails the test when it does not before the deadline."""
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"not within {seconds:.0f} seconds; last heard: {self.said()[-30:]}") from None

    def _hearing(self, hear: Callable[[bytes], None]) -> Callable[[bytes], None]:
        def heard(data: bytes) -> None:
            hear(data)
            self._news.set()

        return heard

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        dialogue = self._dialogue(self.heard)
        server = None
        try:
            server_reader, server = await asyncio.open_connection("127.0.0.1", self._target)
            pumps = [
                asyncio.ensure_future(_pump(reader, server, self._hearing(dialogue.from_client))),
                asyncio.ensure_future(_pump(server_reader, writer, self._hearing(dialogue.from_server))),
            ]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
        except (OSError, asyncio.CancelledError):
            pass  # the server is down, or the tap is closed: the process is told by a closed connection
        finally:
            for each in (writer, server):
                if each is not None:
                    each.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, hear: Callable[[bytes], None]) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            hear(data)
            writer.write(data)
            await writer.drain()


class Postgres:
    """PostgreSQL's protocol 3. Preparing a statement is a round trip in which none is completed."""

    _SSL_OR_GSS: Final = (80877103, 80877104)

    def __init__(self, heard: list[RoundTrip]) -> None:
        self._heard = heard
        self._client = bytearray()
        self._server = bytearray()
        self._started = False
        self._refusals = 0
        self._unanswered = 0
        self._trip: RoundTrip | None = None
        self._name = ""

    def from_client(self, data: bytes) -> None:
        self._client += data
        if not self._started:
            self._start()
        if self._started:
            for kind, _ in _messages(self._client):
                if kind in b"QPBDECS" and self._trip is None:
                    self._trip = RoundTrip(self._name)
                    self._heard.append(self._trip)
                self._unanswered += kind in b"QS"

    def from_server(self, data: bytes) -> None:
        self._server += data
        while self._refusals and self._server:  # one byte: no encryption here
            del self._server[:1]
            self._refusals -= 1
        for kind, body in _messages(self._server):
            if kind == b"C" and self._trip is not None:
                self._trip.said.append(body[:-1].decode())
            elif kind == b"Z" and self._trip is not None:  # the first one of a connection answers its start
                self._unanswered -= 1
                self._trip = self._trip if self._unanswered else None

    def _start(self) -> None:
        while len(self._client) >= 8:
            length, code = struct.unpack_from(">ii", self._client)
            if len(self._client) < length:
                return
            words = bytes(self._client[8:length]).split(b"\0")
            del self._client[:length]
            if code in self._SSL_OR_GSS:
                self._refusals += 1
                continue
            settings = dict(zip(words[::2], words[1::2], strict=False))
            self._name = settings.get(b"application_name", b"").decode()
            self._started = True
            return


def _messages(buffer: bytearray) -> Iterator[tuple[bytes, bytes]]:
    """(kind, body) of every whole message, which it takes from the buffer."""
    while len(buffer) >= 5:
        (length,) = struct.unpack_from(">i", buffer, 1)
        if len(buffer) < 1 + length:
            return
        kind, body = bytes(buffer[:1]), bytes(buffer[5 : 1 + length])
        del buffer[: 1 + length]
        yield kind, body


class Redis:
    """RESP. A connection that subscribes is left out: what is announced there was not asked for."""

    _SUBSCRIBES: Final = ("SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE")

    def __init__(self, heard: list[RoundTrip]) -> None:
        self._heard = heard
        self._commands = hiredis.Reader()
        self._replies = hiredis.Reader()
        self._unanswered = 0
        self._subscribes = False
        self._trip = RoundTrip("")

    def from_client(self, data: bytes) -> None:
        self._commands.feed(data)
        while not self._subscribes and (command := self._commands.gets()) is not False:
            name = command[0].decode().upper()
            if not self._unanswered:
                self._trip = RoundTrip("")
                self._heard.append(self._trip)
            self._trip.said.append(name)
            self._unanswered += 1
            if name in self._SUBSCRIBES:
                self._subscribes = True
                with suppress(ValueError):  # it may have been forgotten already
                    self._heard.remove(self._trip)

    def from_server(self, data: bytes) -> None:
        self._replies.feed(data)
        while not self._subscribes and self._replies.gets() is not False:
            self._unanswered -= 1


class RabbitMQ:
    """AMQP 0-9-1: what is published, confirmed, delivered and acknowledged, each as a round trip of its own.

    None of them waits for an answer by the protocol's own rules; whoever looks judges by their order.
    """

    _CLIENT: Final = {(60, 40): "publish", (60, 80): "ack", (60, 90): "reject", (60, 120): "nack"}
    _SERVER: Final = {(60, 60): "deliver", (60, 80): "confirm", (60, 50): "return", (60, 120): "refuse"}
    _METHOD: Final = 1

    def __init__(self, heard: list[RoundTrip]) -> None:
        self._heard = heard
        self._client = bytearray()
        self._server = bytearray()
        self._greeted = False

    def from_client(self, data: bytes) -> None:
        self._client += data
        if not self._greeted and len(self._client) >= 8:
            del self._client[:8]
            self._greeted = True
        if self._greeted:
            self._hear(self._client, self._CLIENT)

    def from_server(self, data: bytes) -> None:
        self._server += data
        self._hear(self._server, self._SERVER)

    def _hear(self, buffer: bytearray, names: dict[tuple[int, int], str]) -> None:
        while len(buffer) >= 7:
            kind, _, size = struct.unpack_from(">BHI", buffer)
            if len(buffer) < size + 8:
                return
            if kind == self._METHOD:
                name = names.get(struct.unpack_from(">HH", buffer, 7))
                if name is not None:
                    self._heard.append(RoundTrip("", [name]))
            del buffer[: size + 8]
