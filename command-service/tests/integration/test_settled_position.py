"""The feed never passes a position that a running transaction may still fill."""

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from command_service.database import make_engine
from command_service.event_store.feed import Feed
from command_service.event_store.locks import lock_key, merge, stream_lock
from command_service.event_store.store import BatchTransaction, Changes
from command_service.settings import CommandSettings

from .support import new_event, until


@pytest.fixture
async def feed(settings: CommandSettings, shop_url: str) -> AsyncIterator[Feed]:
    engine = make_engine(settings)
    yield Feed(engine)
    await engine.dispose()


class Writer:
    """One process's connection, with its transaction in the test's hand."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection
        self.transaction = BatchTransaction(connection)

    async def begin(self, *streams: str) -> None:
        await self.transaction.begin(merge([stream_lock(stream) for stream in streams], []))

    async def append(self, *streams: str) -> None:
        await self.transaction.append(Changes(events=[new_event(stream) for stream in streams]), datetime.now(UTC))

    async def commit(self) -> None:
        await self.transaction.commit()


@pytest.fixture
async def writers(shop_url: str) -> AsyncIterator[list[Writer]]:
    connections = [await asyncpg.connect(shop_url) for _ in range(5)]
    yield [Writer(connection) for connection in connections]
    for connection in connections:
        connection.terminate()


async def streams(feed: Feed, after: int = 0) -> list[str]:
    return [event.stream_id for event in (await feed.page(after, 1000)).events]


async def test_an_empty_log_is_settled_at_nothing(feed: Feed) -> None:
    page = await feed.page(0, 10)
    assert (page.events, page.settled) == ([], 0)
    assert (await feed.heads(0, 10)).until == 0


async def test_what_commits_behind_an_open_transaction_is_held_back_until_it_ends(
    feed: Feed, writers: list[Writer]
) -> None:
    slow, quick = writers[:2]
    await quick.begin()
    await quick.append("s-0")
    await quick.commit()
    await slow.begin()
    await slow.append("s-1", "s-2")
    await quick.begin()
    await quick.append("s-3")
    await quick.commit()
    page = await feed.page(0, 10)
    assert ([event.position for event in page.events], page.settled) == ([1], 1)
    heads = await feed.heads(0, 10)
    assert (heads.settled, heads.until, [head[0] for head in heads.heads]) == (1, 1, ["s-0"])
    await slow.commit()
    assert await streams(feed) == ["s-0", "s-1", "s-2", "s-3"]
    assert (await feed.page(0, 10)).settled == 4


async def test_who_has_begun_and_drawn_nothing_yet_holds_the_feed_back_too(feed: Feed, writers: list[Writer]) -> None:
    slow, quick = writers[:2]
    await slow.begin()
    await quick.begin()
    await quick.append("s-1")
    await quick.commit()
    assert (await feed.page(0, 10)).settled == 0
    await slow.append("s-2")
    assert await streams(feed) == []
    await slow.commit()
    assert await streams(feed) == ["s-1", "s-2"]


@pytest.mark.parametrize("end", ["rollback", "lost"])
async def test_a_transaction_that_fails_leaves_a_hole_that_holds_nobody_back(
    feed: Feed, writers: list[Writer], end: str
) -> None:
    failing, quick = writers[:2]
    await failing.begin()
    await failing.append("s-lost")
    await quick.begin()
    await quick.append("s-1")
    await quick.commit()
    if end == "rollback":
        await failing.transaction.rollback()
    else:
        failing.connection.terminate()

    async def settled() -> bool:
        return (await feed.page(0, 10)).settled == 2

    await until(settled)
    assert await streams(feed) == ["s-1"]


async def test_waiting_for_a_lock_does_not_hold_the_feed_back(
    feed: Feed, writers: list[Writer], sql: asyncpg.Connection
) -> None:
    holder, waiter, quick = writers[:3]
    await sql.execute("SELECT pg_advisory_lock($1, $2)", *lock_key(stream_lock("s-1")))
    waiting = asyncio.create_task(waiter.begin("s-1"))

    async def waits() -> bool:
        return bool(await sql.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))

    await until(waits)
    for number, writer in enumerate((holder, quick)):
        await writer.begin()
        await writer.append(f"s-{number + 2}")
        await writer.commit()
    assert (await feed.page(0, 10)).settled == 2
    await sql.execute("SELECT pg_advisory_unlock_all()")
    await waiting


@pytest.mark.parametrize("between", [1, 2])
async def test_a_transaction_that_begins_while_the_feed_is_read_is_not_passed(
    feed: Feed, writers: list[Writer], monkeypatch: pytest.MonkeyPatch, between: int
) -> None:
    slow, quick = writers[:2]
    statements = 0
    execute = AsyncConnection.execute

    async def interleaved(connection: AsyncConnection, *arguments: Any, **options: Any) -> Any:
        nonlocal statements
        result = await execute(connection, *arguments, **options)
        statements += 1
        if statements == between:
            await slow.begin()
            await slow.append("s-1")
            await quick.begin()
            await quick.append("s-2")
            await quick.commit()
        return result

    monkeypatch.setattr(AsyncConnection, "execute", interleaved)
    page = await feed.page(0, 10)
    assert (page.events, page.settled) == ([], 0)
    await slow.commit()
    assert await streams(feed) == ["s-1", "s-2"]


async def test_other_users_of_advisory_locks_do_not_disturb(
    feed: Feed, writers: list[Writer], sql: asyncpg.Connection
) -> None:
    await sql.execute("SELECT pg_advisory_lock(0), pg_advisory_lock(7, 0), pg_advisory_lock_shared($1)", 0x5370)
    await writers[0].begin()
    await writers[0].append("s-1")
    await writers[0].commit()
    assert (await feed.page(0, 10)).settled == 1


@pytest.mark.parametrize("seed", range(5))
async def test_who_remembers_the_settled_position_sees_every_event_exactly_once(
    feed: Feed, writers: list[Writer], sql: asyncpg.Connection, seed: int
) -> None:
    chance = random.Random(seed)
    done = asyncio.Event()

    async def write(number: int, writer: Writer) -> None:
        for turn in range(25):
            names = [f"s-{number}-{turn}-{n}" for n in range(chance.randint(1, 3))]
            await writer.begin(*names)
            for name in names:
                await writer.append(name)
                for _ in range(chance.randint(0, 3)):
                    await writer.connection.execute("SELECT 1")
            await (writer.commit() if chance.random() < 0.8 else writer.transaction.rollback())

    async def read(limit: int) -> list[int]:
        seen: list[int] = []
        after = 0
        while True:
            ended = done.is_set()
            page = await feed.page(after, limit)
            seen += [event.position for event in page.events]
            is_full = len(page.events) == limit
            after = seen[-1] if is_full else max(after, page.settled)
            if ended and not is_full:
                return seen

    async def walk() -> dict[str, int]:
        seen: dict[str, int] = {}
        after = 0
        while True:
            ended = done.is_set()
            heads = await feed.heads(after, 3)
            seen |= {stream_id: version for stream_id, _, version, _ in heads.heads}
            after, was_full = heads.until, heads.until < heads.settled
            if ended and not was_full:
                return seen

    readers = [asyncio.create_task(read(1000)), asyncio.create_task(read(3))]
    walker = asyncio.create_task(walk())
    await asyncio.gather(*(write(number, writer) for number, writer in enumerate(writers)))
    done.set()
    written = [row["position"] for row in await sql.fetch("SELECT position FROM events ORDER BY position")]
    for reader in readers:
        assert await reader == written
    assert (await walker).keys() == {row["stream_id"] for row in await sql.fetch("SELECT stream_id FROM events")}
