"""A command service that serves nothing but a log from memory: a small HTTP server on a port of its own."""

import asyncio
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import orjson

from contracts.streams import partition_key_of
from contracts.topology import partition_of
from projector_testing.shop import PARTITIONS, Log, ndjson

Answer = tuple[int, str, bytes]

_MOMENT = "2026-11-21T10:00:00.000000Z"


class CommandService:
    """Serves `log`, which tests may go on adding to, or replace by another."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.asked: list[str] = []
        """The paths that were asked for."""
        self.failing = False
        self.generations: dict[int, str] = {1: "live"}
        """Number → status; dropped ones stay."""
        self.discards: dict[str, str] = {}
        """Event id → reason."""
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    @property
    def live(self) -> int:
        return next(number for number, status in self.generations.items() if status == "live")

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
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                method, target, _ = head.split(" ", 2)
                body = await reader.readexactly(_content_length(head))
                status, media_type, answer = self._answer(method, target, orjson.loads(body) if body else {})
                writer.write(
                    f"HTTP/1.1 {status} x\r\ncontent-type: {media_type}\r\ncontent-length: {len(answer)}\r\n"
                    f"Stockroom-Settled: {self.log.settled}\r\n\r\n".encode()
                    + answer
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._connections.discard(writer)
            writer.close()

    def _answer(self, method: str, target: str, body: dict[str, Any]) -> Answer:
        url = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        self.asked.append(url.path)
        if self.failing:
            return _problem(503, "not now")
        if not query.keys() <= {"after", "limit"} or int(query.get("limit", 0)) > 10_000:
            return _problem(422, "a parameter is wrong")
        match method, url.path.strip("/").split("/"):
            case "GET", ["system"]:
                return _json({"partitions": PARTITIONS, "currency": "EUR"})
            case "GET", ["events"]:
                after = int(query.get("after", 0))
                return _lines(self.log.events[after : self.log.settled][: int(query.get("limit", 1000))])
            case "GET", ["events", "heads"]:
                return _json(self._heads(int(query.get("after", 0)), int(query.get("limit", 1000))))
            case "GET", ["partitions", number, "events"]:
                return self._partition(int(number), query.get("after"), int(query.get("limit", 1000)))
            case "POST", ["streams", "versions"]:
                return _json({"versions": [self.log.version(stream) for stream in body["streams"]]})
            case "GET", ["streams", stream, "events"]:
                return self._stream(unquote(stream), int(query.get("after", 0)), int(query.get("limit", 1000)))
            case _, ["generations", *path]:
                return self._generations(method, path, body)
            case _, ["discards"]:
                return self._discards(method, body)
        return _problem(404, f"there is no {url.path}")

    def _heads(self, after: int, limit: int) -> dict[str, object]:
        until = max(after, min(self.log.settled, after + limit))
        heads = {e.stream_id: e for e in self.log.events[after:until]}
        rows = [[e.stream_id, partition_of(e.partition_key, PARTITIONS), e.version, e.position] for e in heads.values()]
        return {"settled": self.log.settled, "until": until, "heads": rows}

    def _stream(self, stream: str, after: int, limit: int) -> Answer:
        events = self.log.of_stream(stream)
        return _lines(events[after : after + limit]) if events else _problem(404, "no such stream")

    def _partition(self, number: int, after: str | None, limit: int) -> Answer:
        if number not in range(PARTITIONS):
            return _problem(404, f"there is no partition {number}")
        events = sorted(
            self.log.of_partition(number), key=lambda event: (event.partition_key, event.stream_id, event.version)
        )
        if after is not None:
            stream, _, version = after.rpartition("@")
            begin = (partition_key_of(stream), stream, int(version))
            events = [e for e in events if (e.partition_key, e.stream_id, e.version) > begin]
        return _lines(events[:limit])

    def _generations(self, method: str, path: list[str], body: dict[str, Any]) -> Answer:
        match method, path:
            case "GET", []:
                return _json({"live": self.live, "generations": self._listed()})
            case "POST", []:
                building = [n for n, status in self.generations.items() if status == "building"]
                if building:
                    return _problem(409, f"generation {building[0]} is being built")
                number = max(*self.generations, body.get("above", 0), 0) + 1
                self.generations[number] = "building"
                return _json({"number": number}, 201)
        number = int(path[0])
        if self.generations.get(number, "dropped") == "dropped":
            return _problem(404, f"there is no generation {number}")
        if method == "DELETE":
            if number == self.live:
                return _problem(409, f"generation {number} is live")
            self.generations[number] = "dropped"
        elif number != self.live:
            self.generations[self.live] = "kept"
            self.generations[number] = "live"
        return 204, "", b""

    def _listed(self) -> list[dict[str, object]]:
        return [
            {"number": number, "status": status, "created_at": _MOMENT, "switched_at": None}
            for number, status in sorted(self.generations.items())
            if status != "dropped"
        ]

    def _discards(self, method: str, body: dict[str, Any]) -> Answer:
        if method == "GET":
            return _json({"items": [self._discard(event, reason) for event, reason in self.discards.items()]})
        stream, _, version = body["event_id"].rpartition("@")
        if not 1 <= int(version or 0) <= self.log.version(stream):
            return _problem(404, f"the log has no event {body['event_id']}")
        self.discards.setdefault(body["event_id"], body["reason"])
        return 204, "", b""

    def _discard(self, event: str, reason: str) -> dict[str, str]:
        key = partition_key_of(event.rpartition("@")[0])
        return {"event_id": event, "partition_key": key, "reason": reason, "discarded_at": _MOMENT}


def _content_length(head: str) -> int:
    lines = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
    return int(lines.get("content-length", 0))


def _json(document: object, status: int = 200) -> Answer:
    return status, "application/json", orjson.dumps(document)


def _lines(events: Any) -> Answer:
    return 200, "application/x-ndjson", ndjson(events)


def _problem(status: int, detail: str) -> Answer:
    return status, "application/problem+json", orjson.dumps({"status": status, "detail": detail})
