"""Puts the process managers together, each with its own queues, walk and timers, and runs them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.consumer import Consumer, Queue, Subscription
from chassis.tasks import together
from command_service.event_store.feed import Feed
from command_service.mediator import Mediator
from command_service.processes import metrics
from command_service.processes.delivery import Delivery
from command_service.processes.following import Following
from command_service.processes.known_events import KnownEvents
from command_service.processes.manager import ProcessManager
from command_service.processes.payment_deadline import PAYMENT_DEADLINES
from command_service.processes.rows import Rows
from command_service.processes.sending import Sender
from command_service.processes.stock_alerts import stock_alerts
from command_service.processes.timers import Timers
from command_service.processes.together import Together
from command_service.processes.walk import WALK_SECONDS, Walk
from contracts.topology import DEAD_LETTER_QUEUE, EVENTS_EXCHANGE, EventQueue, routing_key, routing_key_of_kind

PREFETCH_MESSAGES: Final = 20


class NotReady(Exception):
    """A manager consumes none of its queues."""


@dataclass(frozen=True, slots=True)
class Process:
    """One manager at work."""

    consumer: Consumer
    known: KnownEvents
    together: Together
    walk: Walk
    timers: Timers[Any] | None

    async def run(self) -> None:
        parts = [self.together.run(), self.walk.run(), self.consumer.run()]
        if self.timers is not None:
            parts.append(self.timers.run())
        await together(*parts)


@dataclass(frozen=True, slots=True)
class Processes:
    """All managers."""

    all: Sequence[Process]

    async def run(self) -> None:
        """Runs until cancelled; servers that can't be reached are waited for."""
        await together(*(process.run() for process in self.all))

    async def check_broker(self) -> None:
        """A health check."""
        if not all(process.consumer.consumed for process in self.all):
            raise NotReady

    async def check_log(self) -> None:
        """A health check: no message is held because the log does not have what is in it."""
        for process in self.all:
            await process.known.check()


def managers(low_stock: int) -> tuple[ProcessManager[Any], ...]:
    """The shop's process managers. `low_stock`: pieces at which a product runs low; 0: never."""
    return PAYMENT_DEADLINES, stock_alerts(low_stock)


def event_queues(manager: ProcessManager[Any], partitions: int) -> list[EventQueue]:
    """Those of a manager, in the order of the partitions."""
    return [EventQueue(manager.name, partition) for partition in range(partitions)]


def make_processes(
    engine: AsyncEngine,
    feed: Feed,
    mediator: Mediator,
    rabbitmq_url: str,
    partitions: int,
    low_stock: int,
    *,
    walk_seconds: float = WALK_SECONDS,
) -> Processes:
    """The shop's process managers, each with what it needs to run."""
    return Processes(
        [
            make_process(one, engine, feed, mediator, rabbitmq_url, partitions, walk_seconds)
            for one in managers(low_stock)
        ]
    )


def make_process(
    manager: ProcessManager[Any],
    engine: AsyncEngine,
    feed: Feed,
    mediator: Mediator,
    rabbitmq_url: str,
    partitions: int,
    walk_seconds: float,
) -> Process:
    metrics.announce(manager.name)
    rows = Rows(engine, manager)
    sender = Sender(manager.name, mediator)
    timers = None if manager.on_due is None else Timers(manager.name, manager.on_due, rows, feed, sender)
    following = Following(manager, rows, feed, sender, timers.was_set if timers else lambda: None)
    walk = Walk(manager, rows, feed, following, walk_seconds)
    known = KnownEvents(manager.name, feed, following.handle)

    def consumed(queues: frozenset[int]) -> None:
        metrics.CONSUMED.labels(manager.name).set(len(queues))
        known.forget()

    queues = event_queues(manager, partitions)
    subscription = Subscription(
        f"stockroom-{manager.name}",
        [
            Queue(
                q.name,
                q.arguments,
                EVENTS_EXCHANGE,
                routing_key_of_kind(q.partition, manager.follows),
                formerly=routing_key(q.partition),
            )
            for q in queues
        ],
        DEAD_LETTER_QUEUE,
        PREFETCH_MESSAGES,
    )

    together = Together(known.handle)

    def delivery(partition: int) -> Delivery:
        return Delivery(manager.name, manager.follows, partition, together.handle)

    return Process(Consumer(rabbitmq_url, subscription, delivery, consumed), known, together, walk, timers)
