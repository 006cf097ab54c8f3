"""Verifying while the shop goes on: no false alarm, whatever is under way, parked, discarded or being healed."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from projector_testing.running import World, world
from projector_testing.shop import GENERATION, PARTITIONS, product_id
from projector_testing.trading import shop, trade
from redis.asyncio import Redis

from chassis.tasks import end
from contracts.keys import SORTS
from projector import feed as feeds
from projector.feed import Feed
from projector.verifying.verification import Verification

STRANGER = bytes(16)
INDEXES = [
    *(f"products:{listing}:{sort}" for listing in ("listed", "discontinued") for sort in SORTS),
    "products:listed:price:category 1",
    "words:listed",
    "words:discontinued",
    "stock",
    "orders::",
    "orders:paid:",
    "orders::customer-1",
]
PRODUCTS = [product_id(n) for n in range(1, 9)]


@pytest.fixture
async def around(rabbitmq_url: str, redis_url: str) -> AsyncIterator[World]:
    async with world(shop(products=8, traded=200), rabbitmq_url, redis_url) as made:
        yield made


@pytest.fixture
async def feed(around: World) -> AsyncIterator[Feed]:
    async with feeds.connect(around.service.url) as client:
        yield Feed(client)


async def differences(redis: Redis, feed: Feed, page: int) -> list[str]:
    told: list[str] = []
    await Verification(redis, feed, GENERATION, PARTITIONS, frozenset(), page=page).run(told.append)
    return told


async def go_on(around: World) -> None:
    """2,000 events more, a step after the other; the end of some steps comes to the projector only through the log."""
    for step in range(40):
        before = around.log.settled
        trade(around.log, PRODUCTS, 50, seed=step)
        new = around.log.events[before:]
        await around.publish(new[:-5] if step % 4 == 0 else new)


@pytest.mark.parametrize("page", [20, 1000])
async def test_nothing_is_told_while_events_are_applied_lost_and_healed(around: World, feed: Feed, page: int) -> None:
    async with around.projector() as projector:
        await around.ready(projector)
        going_on = asyncio.ensure_future(go_on(around))
        try:
            times = 0
            while times < 3 or not going_on.done():
                assert await differences(around.redis, feed, page) == []
                times += 1
            await going_on
        finally:
            await end(going_on)


@pytest.mark.parametrize("page", [20, 1000])
async def test_exactly_the_strange_entries_are_told_while_all_else_changes(
    around: World, feed: Feed, page: int
) -> None:
    async with around.projector() as projector:
        await around.ready(projector)
        for index in INDEXES:
            await around.redis.zadd(GENERATION.prefix + index, {b"x" + STRANGER: 0})
        going_on = asyncio.ensure_future(go_on(around))
        try:
            times = 0
            while times < 3 or not going_on.done():
                told = await differences(around.redis, feed, page)
                assert sorted(line.partition(" has an entry that")[0] for line in told) == sorted(
                    GENERATION.prefix + index for index in INDEXES
                )
                times += 1
            await going_on
        finally:
            await end(going_on)
