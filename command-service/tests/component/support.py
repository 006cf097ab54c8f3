"""How the component tests speak to the command API."""

from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import asyncpg
import httpx

from contracts import tokens
from contracts.tokens import Seen

UNKNOWN = "0190a5f0-7c3e-7b1a-9d2e-3f4a5b6c7d8e"


def problem(response: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    """The response's problem document, which must be this one."""
    document: dict[str, Any] = response.json()
    assert (response.status_code, document["type"]) == (status, f"/problems/{slug}"), document
    assert response.headers["content-type"] == "application/problem+json"
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]
    return document


def pointers(document: dict[str, Any]) -> list[str]:
    return [error.get("pointer") or error["parameter"] for error in document["errors"]]


def succeeded(response: httpx.Response, status: int, version: int) -> list[Seen]:
    """What the token of a success asks to have been seen."""
    assert response.status_code == status, response.text
    assert response.headers["etag"] == f'"{version}"'
    token = response.headers["consistency-token"]
    assert len(token) <= 2048
    if status == 204:
        assert response.content == b""
        assert "content-type" not in response.headers
    return tokens.decode(token)


@dataclass
class Shop:
    """A running command API, and a look behind it."""

    http: httpx.AsyncClient
    sql: asyncpg.Connection

    async def add(self, **data: Any) -> str:
        response = await self.http.post("/products", json={"name": "Chai", "price": "18.00", **data})
        assert response.status_code == 201, response.text
        return str(response.json()["id"])

    async def written(self) -> tuple[int, ...]:
        """How many rows each table has: what a refused request must leave as it is."""
        tables = ("events", "outbox", "receipts", "claims", "snapshots")
        return tuple([int(await self.sql.fetchval(f"SELECT count(*) FROM {table}")) for table in tables])

    async def events(self, stream_id: str) -> list[dict[str, Any]]:
        response = await self.http.get(f"/streams/{stream_id}/events")
        return [httpx.Response(200, content=line).json() for line in response.content.splitlines()]


def new_uuid() -> str:
    return str(uuid4())
