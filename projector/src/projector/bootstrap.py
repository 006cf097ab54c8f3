"""Builds the projector: the one place where its parts are put together."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

import httpx
from redis.asyncio import Redis
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from chassis.health import Health
from chassis.ids import new_id
from chassis.logging import get_logger
from contracts.keys import Generation
from contracts.topology import read_model_subscriber
from projector import feed as feeds
from projector import redis_client
from projector.consumer import Consumer, Subscription
from projector.feed import Feed, FeedUnavailable, System
from projector.healing import Healing
from projector.lease import Lease
from projector.partition import Partition
from projector.progress import Progress
from projector.redis_client import UNREACHABLE
from projector.redriving import Redriving
from projector.settings import ProjectorSettings
from projector.store import Store
from projector.walk import Walk

log = get_logger(__name__)

T = TypeVar("T")


class NotReady(Exception):
    """Something that the projector needs is not there yet."""


@dataclass(slots=True)
class Pipeline:
    """Everything that works on one generation."""

    walk: Walk
    consumer: Consumer
    progress: Progress
    lease: Lease


@dataclass(slots=True)
class Projector:
    """The process: waits for its servers, then keeps the read model level until it is cancelled."""

    settings: ProjectorSettings
    redis: Redis
    http: httpx.AsyncClient
    feed: Feed
    health: Health = field(default_factory=Health)
    pipeline: Pipeline | None = None

    async def run(self) -> None:
        """Raises `UnsafeRedis` where a read model can't be kept; nothing else ends it but cancellation."""
        await _persist(UNREACHABLE, lambda: redis_client.refuse_eviction(self.redis))
        system = await _persist((FeedUnavailable,), self.feed.system)
        pipeline = self.pipeline = build_pipeline(self.settings, self.redis, self.feed, system)
        log.info("projector_starts", generation=system.generation, partitions=system.partitions)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(pipeline.walk.run())
                tasks.create_task(pipeline.consumer.run())
        finally:
            await self._close(pipeline)

    async def _close(self, pipeline: Pipeline) -> None:
        try:
            async with asyncio.timeout(2):
                await pipeline.lease.release()
        except (*UNREACHABLE, TimeoutError):
            pass
        await self.redis.aclose()
        await self.http.aclose()

    async def check_redis(self) -> None:
        await self.redis.ping()

    async def check_command_service(self) -> None:
        await self.feed.system()

    async def check_broker(self) -> None:
        if self.pipeline is None or not self.pipeline.consumer.consumed:
            raise NotReady

    async def check_generation(self) -> None:
        if self.pipeline is None or not await self.pipeline.progress.is_whole():
            raise NotReady


def build(settings: ProjectorSettings) -> Projector:
    http = feeds.connect(settings.command_url)
    projector = Projector(settings, redis_client.connect(settings.redis_url), http, Feed(http))
    projector.health.add("redis", projector.check_redis)
    projector.health.add("broker", projector.check_broker)
    projector.health.add("command_service", projector.check_command_service)
    projector.health.add("generation", projector.check_generation)
    return projector


def build_pipeline(settings: ProjectorSettings, redis: Redis, feed: Feed, system: System) -> Pipeline:
    generation = Generation(system.generation)
    store = Store(redis, generation)
    progress = Progress(redis, generation, system.partitions)
    healing = Healing(feed, store, progress, settings.batch_events)
    redriving = Redriving(feed, healing, progress, settings.batch_events)
    lease = Lease(redis, generation)
    walk = Walk(feed, healing, progress, redriving, lease, settings.walk_interval)

    def partition(number: int) -> Partition:
        return Partition(number, store, healing, settings.batch_events, lambda urgent: walk.wake(urgent=urgent))

    subscription = Subscription(
        read_model_subscriber(system.generation),
        f"{socket.gethostname()}-{os.getpid()}-{new_id()}",
        system.partitions,
        settings.prefetch_messages,
    )
    return Pipeline(walk, Consumer(settings.rabbitmq_url, subscription, partition, walk.wake), progress, lease)


async def _persist(passing: tuple[type[BaseException], ...], action: Callable[[], Awaitable[T]]) -> T:
    """The result of `action`, tried until it is there."""

    def tell(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        log.warning("waiting_for_server", reason=f"{type(error).__name__}: {error}", attempt=state.attempt_number)

    retrying = AsyncRetrying(
        retry=retry_if_exception_type(passing), wait=wait_random_exponential(multiplier=0.1, max=2.0), before_sleep=tell
    )

    async def attempt() -> T:
        return await action()

    return await retrying(attempt)
