"""A command service that serves nothing but a log from memory: a small HTTP server on a port of its own."""

import asyncio
from urllib.parse import parse_qs, unquote, urlsplit

import orjson

from contracts.topology import partition_of
from projector_testing.shop import PARTITIONS, Log, ndjson


class CommandService:
    """Serves `log`, which tests may go on adding to."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.asked: list[str] = []
        """The paths that were asked for."""
        self.failing = False
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> "CommandService":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for connection in self._connections:
            connection.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                target = head.split(b" ", 2)[1].decode()
                status, media_type, body = self._answer(target)
                writer.write(
                    f"HTTP/1.1 {status} x\r\ncontent-type: {media_type}\r\ncontent-length: {len(body)}\r\n"
                    f"Stockroom-Settled: {self.log.settled}\r\n\r\n".encode()
                    + body
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._connections.discard(writer)
            writer.close()

    def _answer(self, target: str) -> tuple[int, str, bytes]:
        url = urlsplit(target)
        query = {name: int(values[0]) for name, values in parse_qs(url.query).items()}
        after, limit = query.get("after", 0), query.get("limit", 1000)
        self.asked.append(url.path)
        if not query.keys() <= {"after", "limit"} or limit > 10_000:
            return 422, "application/problem+json", b"{}"
        if self.failing:
            return 503, "application/problem+json", b"{}"
        if url.path == "/system":
            return 200, "application/json", orjson.dumps({"partitions": PARTITIONS, "currency": "EUR"})
        if url.path == "/events":
            return 200, "application/x-ndjson", ndjson(self.log.events[after : after + limit])
        if url.path == "/events/heads":
            return 200, "application/json", orjson.dumps(self._heads(after, limit))
        stream = unquote(url.path.removeprefix("/streams/").removesuffix("/events"))
        events = self.log.of_stream(stream)
        if not events:
            return 404, "application/problem+json", b"{}"
        return 200, "application/x-ndjson", ndjson(events[after : after + limit])

    def _heads(self, after: int, limit: int) -> dict[str, object]:
        until = max(after, min(self.log.settled, after + limit))
        heads = {e.stream_id: e for e in self.log.events[after:until]}
        rows = [[e.stream_id, partition_of(e.partition_key, PARTITIONS), e.version, e.position] for e in heads.values()]
        return {"settled": self.log.settled, "until": until, "heads": rows}
