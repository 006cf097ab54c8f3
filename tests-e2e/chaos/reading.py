"""Reads with the tokens of writes: whatever comes back may be newer than they promise, never older."""

from collections.abc import Sequence
from random import Random
from typing import Any, Final

import httpx

from chaos.record import Record

LONG_WAIT: Final = 25
"""Seconds that a read waits for its tokens; behind them nothing may be too slow without a fault."""


class Reading:
    """One client's way to the query services."""

    def __init__(self, http: httpx.AsyncClient, urls: Sequence[str], record: Record, random: Random) -> None:
        self._http = http
        self._urls = urls
        self._record = record
        self._random = random

    async def get(
        self, path: str, tokens: Sequence[str] = (), known: str | None = None, **parameters: Any
    ) -> httpx.Response | None:
        """200, 304 (only with `known`, an entity tag) or 404; None when a fault stood in the way, as it may."""
        matrix = self._record.matrix
        before = matrix.now
        wait = LONG_WAIT if self._random.random() < 0.7 else 1
        headers = {"Consistency-Token": ", ".join(tokens), "Prefer": f"wait={wait}"} if tokens else {}
        if known is not None:
            headers["If-None-Match"] = known
        self._record.reads += 1
        what = f"GET {path} {parameters or ''}"
        try:
            answer = await self._http.get(self._random.choice(self._urls) + path, params=parameters, headers=headers)
        except httpx.TransportError as error:
            self._record.unavailable += 1
            if matrix.is_calm_since(before):
                matrix.find("failed", f"{what}: {type(error).__name__} {error}")
            return None
        if answer.status_code == 503 and answer.headers["content-type"] == "application/problem+json":
            self._record.unavailable += 1
            impatient = wait < LONG_WAIT and answer.json()["type"] == "/problems/read-model-behind"
            if matrix.is_calm_since(before) and not impatient:
                matrix.find("failed", f"{what}: 503 although nothing was wrong: {answer.text}")
            return None
        if answer.status_code not in (200, 304, 404):
            matrix.find("failed", f"{what}: {answer.status_code} {answer.text[:300]}")
            return None
        return answer

    async def document(
        self, path: str, stream: str, tokens: Sequence[str], least: int, known: str | None = None
    ) -> dict[str, Any] | None:
        """A document that was promised to be at version `least` or later."""
        answer = await self.get(path, tokens, known)
        if answer is None:
            return None
        if answer.status_code == 404:
            self._record.matrix.find("stale", f"{path}: 404 although a token promised version {least}")
            return None
        version = int(answer.headers["etag"].strip('"').partition("-")[0])
        if version < least:
            self._record.matrix.find("stale", f"{path}: version {version}, promised was {least}")
        if answer.status_code == 304:
            return None
        document: dict[str, Any] = answer.json()
        self._record.show(stream, version, content(stream, document))
        return {**document, "etag": answer.headers["etag"]}

    def expect(self, what: str, expected: Any, found: Any) -> None:
        """Content that only this client writes, and so knows."""
        self._record.checked += 1
        if expected != found:
            self._record.matrix.find("stale", f"{what}: expected {expected}, shown was {found}")


def content(stream: str, document: dict[str, Any]) -> tuple[Any, ...]:
    """What of a document follows from the version of its own stream alone."""
    fields = {
        "product": ("name", "price", "category", "sku", "is_discontinued", "created_at"),
        "inventory": ("current_stock", "reserved", "available", "shortage"),
        "order": ("status", "total", "customer_id"),
    }[stream.partition("-")[0]]
    return tuple(document[field] for field in fields)
