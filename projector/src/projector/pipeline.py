"""Everything that works on one generation of the read model: its consumer and its walk."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

from chassis.consumer import Consumer, Subscription
from chassis.tasks import together
from contracts.keys import Generation
from contracts.topology import DEAD_LETTER_QUEUE
from projector import metrics, queues
from projector.connections import Connections
from projector.feed import System
from projector.healing import Healing
from projector.lease import Lease
from projector.partition import Partition
from projector.progress import Progress
from projector.redis_client import UNREACHABLE
from projector.redriving import Redriving
from projector.store import Store
from projector.waiting import WaitingEvents
from projector.walk import Walk

_RELEASE_SECONDS = 2


@dataclass(slots=True)
class Pipeline:
    """Keeps one generation level while it runs."""

    walk: Walk
    consumer: Consumer
    progress: Progress
    lease: Lease
    started: bool = False
    """The generation was inspected and found to be this code's, and this log's."""

    async def run(self) -> None:
        """Runs for ever. Nothing is consumed before the generation is inspected; raises as `Walk.inspect` does."""
        try:
            await self.walk.inspect()
            self.started = True
            await together(self.walk.run(), self.consumer.run())
        finally:
            self.started = False
            metrics.forget(self.progress.generation.number)
            with suppress(*UNREACHABLE, TimeoutError):
                async with asyncio.timeout(_RELEASE_SECONDS):
                    await self.lease.release()


def build(connections: Connections, system: System, number: int) -> Pipeline:
    """The pipeline of the generation with this number."""
    settings, redis, feed = connections.settings, connections.redis, connections.feed
    generation = Generation(number)
    store = Store(redis, generation, connections.discards)
    progress = Progress(redis, generation, system.partitions, system.currency)
    healing = Healing(feed, store, progress, settings.batch_events)
    waiting = WaitingEvents(feed, progress)
    redriving = Redriving(waiting, healing, progress, connections.discards, settings.batch_events)
    lease = Lease(redis, f"{generation.prefix}walk")
    walk = Walk(feed, store, healing, progress, redriving, connections.discards, lease, settings.walk_interval)

    def partition(number: int) -> Partition:
        size = settings.batch_events
        return Partition(number, store, healing, connections.publisher, size, lambda urgent: walk.wake(urgent=urgent))

    def consumed(partitions: frozenset[int]) -> None:
        metrics.CONSUMED.labels(str(number)).set(len(partitions))
        walk.wake()

    subscription = Subscription(
        "stockroom-projector", queues.of(number, system.partitions), DEAD_LETTER_QUEUE, settings.prefetch_messages
    )
    return Pipeline(walk, Consumer(settings.rabbitmq_url, subscription, partition, consumed), progress, lease)
