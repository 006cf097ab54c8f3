"""Servers that go away and come back, and a projector that is killed: afterwards the read model equals the log."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from projector_testing import processes
from projector_testing.read_model import eventually
from projector_testing.running import World, world
from projector_testing.shop import PARTITIONS, Log, product_id
from projector_testing.trading import shop, trade

from projector import redis_client
from projector.queues import Queues
from stockroom_local.servers import Trio

PRODUCTS = [product_id(n) for n in range(1, 6)]


@pytest.fixture
async def fragile(own_servers: Callable[[], Trio]) -> AsyncIterator[tuple[World, Trio]]:
    trio = await asyncio.to_thread(own_servers)
    async with world(shop(), trio.rabbitmq.url, trio.redis.url) as around:
        yield around, trio


async def publish_through(around: World, log: Log, seed: int) -> None:
    """Sends 100 more events, if the broker takes them; what it does not take is a lost message."""
    before = log.settled
    trade(log, PRODUCTS, 100, seed)
    with contextlib.suppress(Exception):
        async with asyncio.timeout(5):
            await around.publish(log.events[before:])


async def test_the_broker_restarts_and_the_projector_reconnects(fragile: tuple[World, Trio]) -> None:
    around, trio = fragile
    async with around.projector() as projector:
        await around.ready(projector)
        await publish_through(around, around.log, 1)
        await asyncio.to_thread(trio.rabbitmq.settle)
        await asyncio.to_thread(trio.rabbitmq.kill)
        await publish_through(around, around.log, 2)
        await around.level()
        await asyncio.to_thread(trio.rabbitmq.start)
        await around.ready(projector)
        await publish_through(around, around.log, 3)
        await around.level()


async def test_redis_restarts_and_what_it_lost_is_brought_back(fragile: tuple[World, Trio]) -> None:
    around, trio = fragile
    async with around.projector() as projector:
        await around.ready(projector)
        for seed in range(3):
            await publish_through(around, around.log, seed)
            await asyncio.to_thread(trio.redis.kill)
            await publish_through(around, around.log, seed + 10)
            await asyncio.to_thread(trio.redis.start)
            await around.level()
        await around.ready(projector)


async def test_a_projector_killed_at_any_moment_leaves_nothing_applied_twice_or_not_at_all(
    rabbitmq_url: str, redis_url: str
) -> None:
    async with world(shop(), rabbitmq_url, redis_url) as around:
        async with around.projector() as first:
            await around.ready(first)
        for seed in range(4):
            running = await processes.start(around)
            try:
                before = around.log.settled
                trade(around.log, PRODUCTS, 300, seed)
                await around.publish(around.log.events[before:], packed=2)

                async def begun(after: int = before) -> bool:
                    versions = await around.redis.mget(
                        [f"g1:version:{e.stream_id}" for e in around.log.events[after : after + 50]]
                    )
                    wanted = {e.stream_id: e.version for e in around.log.events[after : after + 50]}
                    return any(int(v or 0) >= w for v, w in zip(versions, wanted.values(), strict=False))

                await eventually(begun, "the projector is at work")
            finally:
                running.send_signal(signal.SIGKILL)
                await running.wait()
        running = await processes.start(around)
        try:
            queues = Queues(rabbitmq_url, 1, PARTITIONS)

            async def consumed() -> bool:
                return min(await queues.consumers()) == 1

            await eventually(consumed, "it is at work")
            await around.level()
        finally:
            running.terminate()
            assert await running.wait() == 0


async def test_the_process_serves_health_and_metrics_and_ends_when_told(
    rabbitmq_url: str, redis_url: str, unused_tcp_port: int
) -> None:
    async with world(shop(), rabbitmq_url, redis_url) as around:
        running = await processes.start(around, projector_port=str(unused_tcp_port))
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{unused_tcp_port}", trust_env=False) as client:

                async def ready() -> bool:
                    try:
                        return (await client.get("/health/ready")).status_code == 200
                    except httpx.HTTPError:
                        return False

                await eventually(ready, "the process is ready")
                assert (await client.get("/health/live")).status_code == 200
                metrics = (await client.get("/metrics")).text
        finally:
            running.terminate()
            assert await running.wait() == 0
    assert "stockroom_projector_events_applied_total" in metrics
    assert 'stockroom_projector_generation_whole{generation="1"} 1.0' in metrics


async def test_a_redis_that_may_drop_keys_ends_the_process_with_1(rabbitmq_url: str, redis_url: str) -> None:
    redis = redis_client.connect(redis_url)
    await redis.config_set("maxmemory-policy", "allkeys-lru")
    try:
        async with world(shop(), rabbitmq_url, redis_url) as around:
            running = await processes.start(around)
            async with asyncio.timeout(30):
                assert await running.wait() == 1
    finally:
        await redis.config_set("maxmemory-policy", "noeviction")
        await redis.aclose()
