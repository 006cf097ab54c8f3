"""A Postgres that was restored from a backup: its log is not the one that the read model was made from."""

from collections.abc import AsyncIterator

import pytest
from projector_testing import processes
from projector_testing.read_model import dump, eventually
from projector_testing.running import World, world
from projector_testing.shop import GENERATION, Log, product_id
from projector_testing.trading import shop, trade

from contracts import events, streams
from projector import metrics
from projector.bootstrap import Projector

PRODUCTS = [product_id(n) for n in range(1, 6)]


@pytest.fixture
async def around(rabbitmq_url: str, redis_url: str) -> AsyncIterator[World]:
    async with world(shop(), rabbitmq_url, redis_url) as made:
        trade(made.log, PRODUCTS, 200, seed=1)
        yield made


def backup(log: Log, upto: int) -> Log:
    """The log as it was up to a position."""
    return Log(log.events[:upto])


async def refuses(around: World, projector: Projector) -> None:
    async def refused() -> bool:
        ready, said = await projector.health.ready()
        return not ready and "AnotherLog" in said["log"]

    await eventually(refused, "the check says so")
    assert not await around.redis.exists(GENERATION.complete)
    assert metrics.LOG_DIFFERS.labels("1")._value.get() == 1


async def rebuilt(around: World, projector: Projector) -> None:
    """What the runbook says makes all whole again."""
    ended = await processes.run(around, "rebuild")
    assert ended.code == 0, ended.told
    await around.ready(projector)
    await around.level(2)


async def test_a_log_that_ends_before_the_read_model_is_refused_until_a_rebuild(around: World) -> None:
    async with around.projector() as projector:
        await around.ready(projector)
        around.service.log = backup(around.log, 150)
        await refuses(around, projector)
        await rebuilt(around, projector)


async def test_a_log_that_has_grown_on_with_other_events_is_refused_and_nothing_of_it_is_applied(
    around: World,
) -> None:
    async with around.projector() as projector:
        await around.ready(projector)
        await around.consuming(projector)
    whole = await dump(around.redis)
    around.service.log = backup(around.log, 150)
    trade(around.log, PRODUCTS, 200, seed=2)
    async with around.projector() as projector:
        await refuses(around, projector)
        await around.publish(around.log.events[150:])
        await refuses(around, projector)
        assert await dump(around.redis) == whole
        await rebuilt(around, projector)
        assert await dump(around.redis) == whole


@pytest.mark.parametrize("restarted", [False, True])
async def test_events_behind_the_checkpoint_that_the_log_has_lost_are_noticed_too(
    around: World, restarted: bool
) -> None:
    async with around.projector() as projector:
        await around.ready(projector)
        kept = backup(around.log, around.log.settled)
        # Applied by the queues, then lost before any walk has come to it.
        stream = streams.product_stream(PRODUCTS[0])
        lost = around.log.add(stream, events.PriceChanged(price="1.00", previous_price="2.00"))
        around.service.failing = True
        await around.publish([lost])

        async def applied() -> bool:
            return bool(await around.redis.get(GENERATION.version(stream)) == str(lost.version).encode())

        await eventually(applied, "the event is applied")
        if not restarted:
            grow_otherwise(around, kept, stream)
            await refuses(around, projector)
    if restarted:
        grow_otherwise(around, kept, stream)
        async with around.projector() as projector:
            await refuses(around, projector)
            await rebuilt(around, projector)


def grow_otherwise(around: World, kept: Log, stream: str) -> None:
    """The log is `kept` from now on, and another event stands where one was lost."""
    later = "2026-12-01T10:00:00.000000Z"
    kept.add(stream, events.PriceChanged(price="3.00", previous_price="2.00"), time=later, recorded_at=later)
    around.service.log = kept
    around.service.failing = False


async def test_the_right_log_again_repairs_the_generation_by_itself(around: World) -> None:
    async with around.projector() as projector:
        await around.ready(projector)
        right = around.log
        around.service.log = shop()
        await refuses(around, projector)
        around.service.log = right
        trade(right, PRODUCTS, 20, seed=3)
        await around.ready(projector)
        await around.level(1)
        assert metrics.LOG_DIFFERS.labels("1")._value.get() == 0


async def test_a_rebuild_of_the_wrong_log_is_not_gone_on_with(around: World) -> None:
    async with around.projector() as projector:
        await around.ready(projector)
        rebuilding = await processes.start(around, "rebuild", batch_events="5")

        async def begun() -> bool:
            return await around.redis.exists("g2:rebuild:0", "g2:rebuild:1", "g2:rebuild:2") > 0

        await eventually(begun, "the rebuild is at work")
        rebuilding.kill()
        await rebuilding.wait()
        around.service.log = backup(around.log, 150)
        ended = await processes.run(around, "rebuild")
        assert ended.code == 1
        assert "--abandon" in ended.told
        assert (await processes.run(around, "rebuild", "--abandon")).code == 0
        ended = await processes.run(around, "rebuild")
        assert ended.code == 0, ended.told
        await around.ready(projector)
        await around.level(3)


async def test_queued_events_that_the_log_has_lost_are_noticed_although_new_ones_follow_them(around: World) -> None:
    async with around.projector() as projector:
        await around.ready(projector)
        await around.consuming(projector)
    kept = backup(around.log, around.log.settled)
    stream, other = streams.product_stream(PRODUCTS[0]), streams.inventory_stream(PRODUCTS[0])
    lost = around.log.add(stream, events.PriceChanged(price="1.00", previous_price="2.00"))
    around.service.log = kept
    kept.add(other, events.StockAdded(quantity=1, available=6))
    for price in ("3.00", "4.00"):
        kept.add(stream, events.PriceChanged(price=price, previous_price="2.00"))
    await around.publish([lost, *kept.events[-3:]])
    async with around.projector() as projector:
        await refuses(around, projector)
        await rebuilt(around, projector)
