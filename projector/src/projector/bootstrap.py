"""Builds the projector: the one place where its parts are put together."""

from dataclasses import dataclass, field
from functools import partial

from chassis.health import Health
from chassis.logging import get_logger
from chassis.persisting import persist
from contracts.keys import READ_MODEL
from projector import pipeline, redis_client
from projector.connections import Connections, connect
from projector.feed import FeedUnavailable
from projector.generations import Generations
from projector.pipeline import Pipeline
from projector.pointer import Pointer
from projector.progress import AnotherVersion
from projector.redis_client import UNREACHABLE
from projector.settings import ProjectorSettings
from projector.witness import AnotherLog

log = get_logger(__name__)


class NotReady(Exception):
    """Something that the projector needs is not there yet."""


@dataclass(slots=True)
class Projector:
    """The process: waits for its servers, then keeps the read model level until it is cancelled."""

    connections: Connections
    health: Health = field(default_factory=Health)
    generations: Generations | None = None

    @property
    def pipeline(self) -> Pipeline | None:
        """That of the generation that is to be read."""
        return self.generations.live if self.generations is not None else None

    async def run(self) -> None:
        """Raises `UnsafeRedis` where a read model can't be kept; nothing else ends it but cancellation."""
        connections = self.connections
        try:
            await persist(UNREACHABLE, lambda: redis_client.refuse_eviction(connections.redis))
            system = await persist((FeedUnavailable,), connections.feed.system)
            await persist((FeedUnavailable,), connections.discards.refresh)
            pointer = Pointer(connections.redis, connections.feed)
            build = partial(pipeline.build, connections, system)
            interval = connections.settings.walk_interval
            generations = self.generations = Generations(connections.redis, pointer, build, interval)
            log.info("projector_starts", partitions=system.partitions, read_model=READ_MODEL)
            await generations.run()
        finally:
            await connections.close()

    def wake(self) -> None:
        """Has the generation that is to be read walk at once."""
        if self.pipeline is not None:
            self.pipeline.walk.wake()

    async def check_redis(self) -> None:
        await self.connections.redis.ping()

    async def check_command_service(self) -> None:
        await self.connections.feed.system()

    async def check_broker(self) -> None:
        if self.pipeline is None or not self.pipeline.consumer.consumed:
            raise NotReady

    async def check_generation(self) -> None:
        """The generation that is to be read is whole, and is kept level by this code."""
        self._raise_failure(AnotherVersion)
        if self.pipeline is None or not await self.pipeline.progress.is_whole():
            raise NotReady

    async def check_log(self) -> None:
        """The log is the one that the generation was made from."""
        self._raise_failure(AnotherLog)

    def _raise_failure(self, kind: type[Exception]) -> None:
        failure = self.generations.failure if self.generations is not None else None
        if isinstance(failure, kind):
            raise failure


def build(settings: ProjectorSettings) -> Projector:
    projector = Projector(connect(settings))
    projector.health.add("redis", projector.check_redis)
    projector.health.add("broker", projector.check_broker)
    projector.health.add("command_service", projector.check_command_service)
    projector.health.add("generation", projector.check_generation)
    projector.health.add("log", projector.check_log)
    return projector
