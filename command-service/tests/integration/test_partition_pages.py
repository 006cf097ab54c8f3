"""A partition is read key by key: every event once, whoever appends meanwhile, and for what a page holds."""

import asyncio
import re
from collections.abc import AsyncIterator
from itertools import pairwise

import asyncpg
import pytest
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncEngine

from command_service.database import make_engine
from command_service.event_store.feed import _ALONG_INDEXES, Feed, _streams_behind
from command_service.inventory.domain.add_to_inventory import AddToInventory
from command_service.ratings.domain.rate_product import RateProduct
from command_service.settings import CommandSettings
from contracts.envelope import RecordedEvent
from contracts.topology import partition_of

from .support import PARTITIONS, Client, Launcher, product

USERS = 40


@pytest.fixture
async def engine(settings: CommandSettings, shop_url: str) -> AsyncIterator[AsyncEngine]:
    engine = make_engine(settings)
    yield engine
    await engine.dispose()


async def trade(client: Client, products: int, long: int) -> list[str]:
    """Products with ratings; the first has a stream of so many events too. Their ids."""
    items = [product() for _ in range(products)]
    ids = [item.product_id for item in items]
    await client.succeed(*items)
    ratings = [(pid, f"user-{user}") for pid in ids for user in range(USERS)]
    await client.succeed(*(RateProduct(product_id=pid, user_id=user, rating=1) for pid, user in ratings))
    await client.succeed(*(AddToInventory(product_id=ids[0], quantity=1) for _ in range(long)))
    return ids


async def read(feed: Feed, partition: int, limit: int) -> list[RecordedEvent]:
    seen: list[RecordedEvent] = []
    while True:
        after = (seen[-1].stream_id, seen[-1].version) if seen else None
        page = await feed.of_partition(partition, after, limit)
        seen += page
        assert len(page) <= limit
        if len(page) < limit:
            return seen


def places(events: list[RecordedEvent]) -> list[tuple[str, str, int]]:
    return [(one.partition_key, one.stream_id, one.version) for one in events]


@pytest.mark.parametrize("limit", [1, 7, 1000])
async def test_every_event_is_read_exactly_once_while_others_are_appended(
    launch: Launcher, engine: AsyncEngine, limit: int
) -> None:
    client, feed = await launch(), Feed(engine)
    ids = await trade(client, 4, limit + 100)
    before = (await feed.page(0, 10_000)).events

    async def write() -> None:
        # Not for ever: pages of one event would not catch up with it.
        for _ in range(100):
            await client.succeed(product(), *(AddToInventory(product_id=pid, quantity=1) for pid in ids))

    writing = asyncio.create_task(write())
    pages = [await read(feed, partition, limit) for partition in range(PARTITIONS)]
    await writing
    for partition, events in enumerate(pages):
        assert {partition_of(one.partition_key, PARTITIONS) for one in events} <= {partition}
        # In order, and so each once; and no version of a stream is passed over.
        assert places(events) == sorted(set(places(events)))
        for one, following in pairwise(events):
            assert following.version == (one.version + 1 if following.stream_id == one.stream_id else 1)
    assert {one.id for one in before} <= {one.id for events in pages for one in events}


@pytest.mark.parametrize("behind", [None, "rating-{}-user-20"])
async def test_a_page_goes_along_the_indexes_and_sorts_no_key(
    launch: Launcher, sql: asyncpg.Connection, behind: str | None
) -> None:
    [hot] = await trade(await launch(), 1, 100)
    page = _streams_behind(partition_of(hot, PARTITIONS), behind and behind.format(hot), 1000)
    statement = page.compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True})
    # Whether the planner knows the table or not.
    for known in (False, True):
        if known:
            await sql.execute("ANALYZE events")
        async with sql.transaction():
            await sql.execute(str(_ALONG_INDEXES))
            plan = "\n".join(row[0] for row in await sql.fetch(f"EXPLAIN {statement}"))
        assert re.findall(r"using (\w+) on", plan) == ["events_streams", "events_stream_id_version_key"], plan
        # What is sorted are the few events of one stream, which come in their order.
        assert re.findall(r"(\w* ?)Sort  ", plan) == ["Incremental "], plan
        assert "Presorted Key" in plan
        assert "Seq Scan" not in plan
