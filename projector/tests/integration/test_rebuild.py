"""`projector rebuild` beside a projector at work: whatever happens meanwhile, the next generation equals the log."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from projector_testing import processes
from projector_testing.read_model import copy_of, eventually, restore
from projector_testing.running import World, world
from projector_testing.shop import product_id
from projector_testing.trading import shop, trade

from chassis.consumer import BROKER_LOST
from chassis.tasks import end
from contracts import events, streams
from contracts.keys import LIVE, READ_MODEL, Generation
from projector.lease import Lease
from projector.rebuilding.worker import LEASE

PRODUCTS = [product_id(n) for n in range(1, 6)]
NEXT = Generation(2)


@pytest.fixture
async def around(rabbitmq_url: str, redis_url: str) -> AsyncIterator[World]:
    async with world(shop(), rabbitmq_url, redis_url) as made:
        trade(made.log, PRODUCTS, 400, seed=1)
        yield made


@asynccontextmanager
async def trading(around: World) -> AsyncIterator[None]:
    """Events go on meanwhile."""

    async def go_on() -> None:
        for seed in range(1000):
            before = around.log.settled
            trade(around.log, PRODUCTS, 5, seed)
            # What is lost with the broker's connection is for the walk to find.
            with suppress(*BROKER_LOST):
                await around.publish(around.log.events[before:], packed=3)

    going = asyncio.create_task(go_on())
    try:
        yield
        assert not going.done()
    finally:
        await end(going)


async def paging(around: World) -> None:
    """Until some of the log is paged."""

    async def begun() -> bool:
        return await around.redis.exists(*(NEXT.rebuild(p) for p in range(3))) > 0

    await eventually(begun, "the rebuild is at work")


async def test_a_rebuild_while_events_go_on_makes_a_generation_that_is_read_and_keeps_the_one_before(
    around: World,
) -> None:
    async with around.projector() as projector:
        await around.ready(projector)
        async with trading(around):
            ended = await processes.run(around, "rebuild")
        assert ended.code == 0, ended.told
        assert "`projector switch 1` goes back" in ended.told
        assert "start one" not in ended.told
        assert around.service.generations == {1: "kept", 2: "live"}
        assert await around.redis.get(LIVE) == b"2"
        await around.level(2)
        await around.level(1)
        await around.ready(projector)
        assert await around.redis.keys(NEXT.rebuilding + "*") == []


async def test_a_rebuild_without_a_projector_is_complete_and_says_that_none_runs(around: World) -> None:
    ended = await processes.run(around, "rebuild", "--workers", "1")
    assert ended.code == 0, ended.told
    assert "start one" in ended.told
    assert await around.redis.get(LIVE) == b"2"
    await around.level(2)


async def test_a_killed_rebuild_goes_on_where_it_was(around: World) -> None:
    async with around.projector() as projector:
        await around.ready(projector)
        rated = events.ProductRated(user_id="u", rating=4)
        killed = await processes.start(around, "rebuild", batch_events="5")
        await paging(around)
        killed.kill()
        await killed.wait()
        await around.publish([around.log.add(streams.rating_stream(PRODUCTS[0], "u"), rated)])
        assert await around.queued(2) == 1, "what comes meanwhile waits in its queues"
        async with trading(around):
            ended = await processes.run(around, "rebuild", batch_events="5")
        assert ended.code == 0, ended.told
        assert "continuing generation 2" in ended.told
        assert re.search(r"^[1-9]\d*% done", ended.told, re.MULTILINE), ended.told
        await around.level(2)


async def test_an_interrupted_rebuild_says_how_to_go_on_and_can_be_abandoned(around: World) -> None:
    async with around.projector() as projector:
        await around.ready(projector)
        told = await processes.start(around, "rebuild", shown=True, batch_events="5")
        await paging(around)
        told.terminate()
        ended = await processes.finish(told)
        assert ended.code == 130
        assert "goes on from here" in ended.told
        ended = await processes.run(around, "rebuild", "--abandon")
        assert ended.code == 0, ended.told
        assert around.service.generations == {1: "live", 2: "dropped"}
        assert await around.redis.keys(f"{NEXT.prefix}*") == []
        assert (await processes.run(around, "rebuild", "--abandon")).code == 1
        await around.level(1)


async def test_a_rebuild_whose_redis_is_flushed_begins_anew(around: World) -> None:
    async with around.projector() as projector:
        await around.ready(projector)
        rebuilding = await processes.start(around, "rebuild", shown=True, batch_events="5")
        await paging(around)
        async with trading(around):
            await around.redis.flushall()
            ended = await processes.finish(rebuilding)
        assert ended.code == 0, ended.told
        await around.level(2)
        await around.level(1)


async def test_a_rebuild_whose_redis_goes_back_to_an_older_state_does_not_skip_what_is_lost(around: World) -> None:
    async with around.projector() as projector:
        await around.ready(projector)
        rebuilding = await processes.start(around, "rebuild", shown=True, batch_events="5")
        await paging(around)
        old = await copy_of(around.redis)
        reached = await progress(around)

        async def further() -> bool:
            return await progress(around) > reached + 30

        await eventually(further, "more is paged")
        await restore(around.redis, old)
        ended = await processes.finish(rebuilding)
        assert ended.code == 0, ended.told
        await around.level(2)


async def progress(around: World) -> int:
    said = await around.redis.mget([NEXT.rebuild(p) for p in range(3)])
    return sum(int(text.split()[0]) for text in said if text)


async def test_servers_that_are_away_for_a_while_are_waited_for(around: World) -> None:
    async with around.projector() as projector:
        await around.ready(projector)
        rebuilding = await processes.start(around, "rebuild", shown=True, batch_events="5")
        await paging(around)
        around.service.failing = True
        asked = len(around.service.asked)

        async def tried() -> bool:
            return len(around.service.asked) > asked + 20

        await eventually(tried, "it has been asked in vain")
        around.service.failing = False
        ended = await processes.finish(rebuilding)
        assert ended.code == 0, ended.told
        await around.level(2)


async def test_a_second_rebuild_is_refused_while_one_is_alive(around: World) -> None:
    lease = Lease(around.redis, LEASE)
    assert await lease.take()
    keeping = asyncio.create_task(lease.keep())
    try:
        for arguments in (["rebuild"], ["rebuild", "--abandon"]):
            ended = await processes.run(around, *arguments)
            assert (ended.code, ended.told.strip()) == (1, "another rebuild is running")
        assert around.service.generations == {1: "live"}
    finally:
        await end(keeping)


async def test_a_generation_that_differs_from_the_log_is_not_switched_to(around: World) -> None:
    async with around.projector() as projector:
        await around.ready(projector)
        await around.redis.set(NEXT.product(product_id(77)), b"-\n{}")
        ended = await processes.run(around, "rebuild")
        assert ended.code == 1, ended.told
        assert "differs from the log" in ended.told
        assert around.service.generations == {1: "live", 2: "building"}
        assert await around.redis.get(LIVE) == b"1"
        ended = await processes.run(around, "rebuild", "--no-verify")
        assert ended.code == 0, ended.told
        assert await around.redis.get(LIVE) == b"2"


async def test_what_other_code_has_begun_is_not_gone_on_with(around: World) -> None:
    await around.redis.set(NEXT.schema, READ_MODEL + 1)
    ended = await processes.run(around, "rebuild")
    assert ended.code == 1
    assert "--abandon" in ended.told


async def test_parked_keys_are_told_and_no_reason_to_refuse(around: World) -> None:
    bad = product_id(1)
    around.log.add(streams.inventory_stream(bad), events.StockAdded(quantity=1, available=6), type="StockTeleported")
    async with around.projector() as projector:
        await around.ready(projector)
        ended = await processes.run(around, "rebuild")
        assert ended.code == 0, ended.told
        assert "1 key(s) are parked" in ended.told
        assert await around.redis.hkeys(NEXT.parked) == [bad.encode()]
