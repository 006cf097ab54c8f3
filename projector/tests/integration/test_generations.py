"""Several generations: each is kept level by itself, one is read, and code keeps to those that it has made."""

from collections.abc import AsyncIterator
from unittest.mock import AsyncMock

import aio_pika
import pytest
from projector_testing import processes
from projector_testing.read_model import copy_of, eventually, restore
from projector_testing.running import World, world
from projector_testing.shop import GENERATION, PARTITIONS, product_id
from projector_testing.trading import shop, trade

from contracts.keys import LIVE, READ_MODEL, Generation
from contracts.topology import EventQueue, read_model_subscriber
from projector import dropping, metrics, pipeline
from projector import feed as feeds
from projector.bootstrap import Projector
from projector.feed import Feed, Refused
from projector.pointer import Pointer
from projector.queues import Queues

PRODUCTS = [product_id(n) for n in range(1, 6)]


@pytest.fixture
async def around(rabbitmq_url: str, redis_url: str) -> AsyncIterator[World]:
    async with world(shop(), rabbitmq_url, redis_url) as made:
        yield made


async def checks(projector: Projector) -> dict[str, str]:
    """What each health check says."""
    return (await projector.health.ready())[1]


async def publish_more(around: World, seed: int) -> None:
    before = around.log.settled
    trade(around.log, PRODUCTS, 100, seed)
    await around.publish(around.log.events[before:])


async def is_read(around: World, number: int) -> None:
    async def pointed() -> bool:
        return bool(await around.redis.get(LIVE) == str(number).encode())

    await eventually(pointed, f"generation {number} is read")


async def test_every_generation_that_is_live_or_kept_is_kept_level(around: World) -> None:
    around.service.generations = {1: "kept", 2: "live"}
    async with around.projector() as projector:
        await around.ready(projector)
        await publish_more(around, 1)
        await around.level(1)
        await around.level(2)
        assert await around.redis.get(LIVE) == b"2"


async def test_a_generation_that_comes_while_the_projector_runs_is_worked_on_and_one_that_goes_is_let_go(
    around: World,
) -> None:
    queues = Queues(around.rabbitmq_url, 2, PARTITIONS)
    async with around.projector() as projector:
        await around.ready(projector)
        around.service.generations[2] = "kept"
        await around.level(2)

        async def consumed() -> bool:
            return min(await queues.consumers()) == 1

        await eventually(consumed, "its queues are consumed")
        around.service.generations[2] = "dropped"

        async def left() -> bool:
            return max(await queues.consumers()) == 0

        await eventually(left, "its queues are left alone")
        await around.ready(projector)


async def test_what_is_being_built_is_left_alone_until_it_is_whole(around: World) -> None:
    around.service.generations[2] = "building"
    async with around.projector() as projector:
        await around.ready(projector)
        await publish_more(around, 1)
        await around.level(1)
        assert await around.redis.keys("g2:*") == []


async def test_a_pipeline_that_fails_hurts_no_other_and_is_begun_again(
    around: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    around.service.generations = {1: "live", 2: "kept"}
    failed = []
    run = pipeline.Pipeline.run

    async def fail_at_first(self: pipeline.Pipeline) -> None:
        if self.progress.generation.number == 2 and len(failed) < 3:
            failed.append(2)
            raise ZeroDivisionError
        await run(self)

    monkeypatch.setattr(pipeline.Pipeline, "run", fail_at_first)
    async with around.projector() as projector:
        await around.ready(projector)
        await around.level(1)
        await around.level(2)
    assert len(failed) == 3


async def test_after_a_flush_the_pointer_is_what_postgres_says(around: World) -> None:
    around.service.generations = {1: "kept", 2: "live"}
    async with around.projector() as projector:
        await around.ready(projector)
        await around.redis.flushall()
        await is_read(around, 2)
        await around.level(1)
        await around.level(2)


async def test_a_pointer_from_an_old_copy_is_followed_only_until_the_live_generation_is_whole(around: World) -> None:
    async with around.projector() as projector:
        await around.ready(projector)
        old = await copy_of(around.redis)
        around.service.generations = {1: "kept", 2: "live"}
        await is_read(around, 2)
        assert await around.redis.exists(Generation(2).complete)
        await restore(around.redis, old)
        await is_read(around, 2)
        assert await around.redis.exists(Generation(2).complete)
        await around.level(1)
        await around.level(2)


async def test_the_pointer_leaves_a_generation_that_is_kept_only_for_one_that_is_whole(around: World) -> None:
    around.service.generations = {1: "kept", 2: "live"}
    async with feeds.connect(around.service.url) as http:
        pointer = Pointer(around.redis, Feed(http))
        await around.redis.set(LIVE, 1)
        await pointer.follow()
        assert await pointer.number() == 1
        await around.redis.set(Generation(2).complete, READ_MODEL)
        await pointer.follow()
        assert await pointer.number() == 2


@pytest.mark.parametrize("value", [None, b"7", b"what?"])
async def test_a_pointer_to_nothing_that_is_kept_is_set_at_once(around: World, value: bytes | None) -> None:
    if value is not None:
        await around.redis.set(LIVE, value)
    async with feeds.connect(around.service.url) as http:
        pointer = Pointer(around.redis, Feed(http))
        await pointer.follow()
        assert await pointer.number() == 1


@pytest.mark.parametrize("state", [{"schema": READ_MODEL + 1, "complete": READ_MODEL + 1}, {"complete": 471}])
async def test_what_code_of_another_version_made_is_left_alone_until_a_rebuild(
    around: World, state: dict[str, int]
) -> None:
    for name, value in state.items():
        await around.redis.set(f"g1:{name}", value)
    before = await around.redis.keys("g1:*")
    async with around.projector() as projector:

        async def refused() -> bool:
            return "AnotherVersion" in (await checks(projector))["generation"]

        await eventually(refused, "the check says so")
        assert metrics.OTHER_CODE.labels("1")._value.get() == 1
        assert {key for key in await around.redis.keys("g1:*") if not key.endswith(b"walk")} == set(before)
        assert max(await Queues(around.rabbitmq_url, 1, PARTITIONS).consumers()) == 0
        ended = await processes.run(around, "rebuild")
        assert ended.code == 0, ended.told
        await around.ready(projector)
        await around.level(2)
        assert await around.redis.get(GENERATION.complete) == str(state["complete"]).encode()


async def test_switching_back_is_safe_because_the_generation_was_kept_level(around: World) -> None:
    async with around.projector() as projector:
        await around.ready(projector)
        assert (await processes.run(around, "rebuild")).code == 0
        await publish_more(around, 3)
        ended = await processes.run(around, "switch", "1")
        assert ended.code == 0, ended.told
        assert around.service.generations == {1: "live", 2: "kept"}
        assert await around.redis.get(LIVE) == b"1"
        await around.level(1)
        await around.level(2)
        await around.ready(projector)


async def test_a_generation_that_nobody_keeps_level_is_not_switched_to(around: World) -> None:
    async with around.projector() as projector:
        await around.ready(projector)
        around.service.generations[2] = "kept"
        await around.level(2)
    trade(around.log, PRODUCTS, 10, seed=1)
    behind = await processes.run(around, "switch", "2")
    await around.redis.delete(Generation(2).complete)
    broken = await processes.run(around, "switch", "2")
    unknown = await processes.run(around, "switch", "3")
    assert [ended.code for ended in (behind, broken, unknown)] == [1, 1, 1]
    assert "behind the log" in behind.told
    assert "not whole" in broken.told
    assert "there is no generation 3" in unknown.told
    assert await around.redis.get(LIVE) == b"1"


async def test_a_dropped_generation_leaves_no_queue_and_no_key(around: World) -> None:
    queues = Queues(around.rabbitmq_url, 1, PARTITIONS)
    async with around.projector() as projector:
        await around.ready(projector)
        refused = await processes.run(around, "generations", "drop", "1")
        assert (refused.code, await around.redis.get(LIVE)) == (1, b"1")
        assert (await processes.run(around, "rebuild")).code == 0
        ended = await processes.run(around, "generations", "drop", "1")
        assert ended.code == 0, ended.told
        await publish_more(around, 4)
        await around.level(2)
        assert await around.redis.keys("g1:*") == []
        assert not await queues.exist()
        again = await processes.run(around, "generations", "drop", "1")
        assert (again.code, again.told.strip()) == (1, "there is no generation 1")
        await around.ready(projector)


async def test_a_drop_waits_for_those_who_work_on_the_generation(
    around: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    queues = Queues(around.rabbitmq_url, 2, PARTITIONS)
    around.service.generations[2] = "kept"
    await queues.bind_anew()
    connection = await aio_pika.connect(around.rabbitmq_url)
    async with connection, feeds.connect(around.service.url) as http:
        channel = await connection.channel()
        name = EventQueue(read_model_subscriber(2), 0).name
        await (await channel.get_queue(name)).consume(AsyncMock())
        monkeypatch.setattr(dropping, "LEAVE_SECONDS", 0.0)
        with pytest.raises(Refused, match="still works"):
            await dropping.drop(around.redis, Feed(http), queues, Generation(2))
        assert await queues.exist()
        await channel.close()
        monkeypatch.setattr(dropping, "LEAVE_SECONDS", 30.0)
        await dropping.drop(around.redis, Feed(http), queues, Generation(2))
        assert not await queues.exist()


async def test_a_drop_that_was_interrupted_goes_on(around: World) -> None:
    async with around.projector() as projector:
        await around.ready(projector)
    around.service.generations = {1: "dropped", 2: "live"}
    await around.redis.delete(LIVE)
    ended = await processes.run(around, "generations", "drop", "1")
    assert ended.code == 0, ended.told
    assert await around.redis.keys("g1:*") == []
    assert not await Queues(around.rabbitmq_url, 1, PARTITIONS).exist()


async def test_generations_are_listed_with_what_they_are(around: World) -> None:
    async with around.projector() as projector:
        await around.ready(projector)
        around.service.generations[2] = "building"
        ended = await processes.run(around, "generations")
        assert ended.code == 0
        rows = [line.split() for line in ended.told.replace("│", " ").splitlines()]
        assert ["1", "*", "live", str(READ_MODEL), "yes", "0", str(around.log.settled), "0"] in rows
        assert ["2", "building", "-", "no", "0", "0", str(around.log.settled)] in rows
