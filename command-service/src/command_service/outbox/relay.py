"""The relay: every outbox row reaches the broker, in the order of its partition, and is deleted only after the confirm.

A relay holds the outbox's lanes by session advisory locks and reads and deletes their rows over that same connection:
when the connection is gone, so are the locks, and another relay may go on. Lanes run in parallel, each with at most one
unconfirmed message, so nothing overtakes. What is published twice (a kill between confirm and delete) is the same event
or command again: subscribers apply an event once, and a command happens once.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

import aio_pika
import asyncpg
from aio_pika.abc import AbstractExchange, DeliveryMode

from chassis import broker
from chassis.logging import get_logger
from chassis.tasks import end
from command_service.event_store.locks import lane_lock, lock_key
from command_service.event_store.schema import FIND_BY_KEY
from command_service.outbox import metrics
from command_service.outbox.lanes import destination, lanes
from command_service.outbox.packing import Package, Row, pack
from command_service.outbox.wake_up import CHANNEL
from command_service.queue.broker import declare_commands
from contracts.topology import COMMANDS_EXCHANGE, EVENTS_EXCHANGE

log = get_logger(__name__)

READ_ROWS: Final = 500
"""Rows read of one lane at a time."""

CONFIRM_SECONDS: Final = 30.0
"""Seconds after which a message without a confirm is published again."""

SHORTEST_POLL: Final = 0.05
LONGEST_POLL: Final = 1.0
"""Seconds between looks at the outbox when no wake-up comes: doubled from the shortest while there is nothing."""

CLAIM_SECONDS: Final = 1.0
"""Seconds between attempts to get hold of lanes that another relay had."""

LONGEST_BACKOFF: Final = 5.0
"""Seconds, at most, before a refused message or a lost server is tried again; doubled from 0.1."""

_READ: Final = """
SELECT p.partition, r.seq, r.message
  FROM unnest($1::smallint[]) AS p(partition)
 CROSS JOIN LATERAL (
       SELECT seq, message FROM outbox WHERE partition = p.partition ORDER BY seq LIMIT $2) r
 ORDER BY p.partition, r.seq
"""
_DELETE: Final = """
DELETE FROM outbox o USING unnest($1::smallint[], $2::bigint[]) AS d(partition, seq)
 WHERE o.partition = d.partition AND o.seq = d.seq
"""
_CLAIM: Final = "SELECT pg_try_advisory_lock($1, $2)"


def backoff(failures: int) -> float:
    """Seconds to wait after so many failures in a row."""
    return min(LONGEST_BACKOFF, 0.1 * 2.0 ** min(failures, 10))


class Relay:
    """Publishes the outbox. Several may run: each partition has one relay at a time. Run `run`."""

    def __init__(self, postgres_url: str, rabbitmq_url: str, partitions: int) -> None:
        self._postgres_url = postgres_url
        self._rabbitmq_url = rabbitmq_url
        self._partitions = partitions
        self.connected = False

    async def run(self) -> None:
        """Publishes until cancelled, over lost connections to either server."""
        failures = 0
        while True:
            try:
                await self._run_session()
            except Exception as error:
                log.warning("relay_interrupted", error=type(error).__name__, detail=str(error))
            failures = 0 if self.connected else failures + 1
            self.connected = False
            await asyncio.sleep(backoff(failures))

    async def _run_session(self) -> None:
        postgres = await asyncpg.connect(
            self._postgres_url,
            timeout=5,
            command_timeout=30,
            server_settings={**FIND_BY_KEY, "application_name": "stockroom-relay"},
        )
        try:
            connection = await broker.connect(self._rabbitmq_url, "stockroom-relay")
            try:
                channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
                exchanges = {
                    EVENTS_EXCHANGE: await broker.declare_direct_exchange(channel, EVENTS_EXCHANGE),
                    COMMANDS_EXCHANGE: await declare_commands(channel, self._partitions),
                }
                session = RelaySession(postgres, exchanges, lanes(self._partitions))
                channel.close_callbacks.add(lambda *_: session.lose())
                postgres.add_termination_listener(lambda *_: session.lose())
                await postgres.add_listener(CHANNEL, lambda *_: session.wake())
                self.connected = True
                log.info("relay_connected")
                await session.publish_until_lost()
            finally:
                await connection.close()
        finally:
            postgres.terminate()


class RelaySession:
    """What lives and dies with one pair of connections: the lanes held, and what is being published of them."""

    def __init__(
        self, postgres: asyncpg.Connection, exchanges: Mapping[str, AbstractExchange], lanes: Sequence[int]
    ) -> None:
        self._postgres = postgres
        self._exchanges = exchanges
        self._lanes = frozenset(lanes)
        self._held: set[int] = set()
        self._publishing: dict[asyncio.Task[list[int]], int] = {}
        self._failures: dict[int, int] = {}
        self._not_before: dict[int, float] = {}
        self._next_claim = 0.0
        self._poll = SHORTEST_POLL
        self._event = asyncio.Event()
        self._is_lost = False

    def wake(self) -> None:
        self._event.set()

    def lose(self) -> None:
        self._is_lost = True
        self._event.set()

    async def publish_until_lost(self) -> None:
        try:
            while not self._is_lost:
                self._event.clear()
                await self._claim_lanes()
                await self._delete(self._confirmed())
                started = await self._start_publishing()
                self._poll = SHORTEST_POLL if started else min(LONGEST_POLL, self._poll * 2)
                await self._wait()
        finally:
            await end(*self._publishing)

    async def _wait(self) -> None:
        """Until a message is confirmed or refused, the relay is woken, or it is time to look again."""
        # Not wait_for: in Python 3.11 it swallows a cancellation that comes together with the event.
        with suppress(TimeoutError):
            async with asyncio.timeout(self._poll):
                await self._event.wait()

    async def _claim_lanes(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._held == self._lanes or now < self._next_claim:
            return
        self._next_claim = now + CLAIM_SECONDS
        for lane in self._lanes - self._held:
            if await self._postgres.fetchval(_CLAIM, *lock_key(lane_lock(lane))):
                self._held.add(lane)
        metrics.LANES.set(len(self._held))

    def _confirmed(self) -> list[tuple[int, int]]:
        """(lane, seq) of what was confirmed since last time; a lane whose publishing failed waits a while."""
        confirmed = []
        for task in [task for task in self._publishing if task.done()]:
            lane = self._publishing.pop(task)
            seqs = task.result()
            confirmed += [(lane, seq) for seq in seqs]
            if seqs:
                self._failures.pop(lane, None)
        return confirmed

    async def _delete(self, confirmed: list[tuple[int, int]]) -> None:
        if confirmed:
            await self._postgres.execute(_DELETE, [lane for lane, _ in confirmed], [seq for _, seq in confirmed])
            metrics.PUBLISHED.inc(len(confirmed))

    async def _start_publishing(self) -> bool:
        """Reads the lanes of which nothing is under way, and publishes what waits in them."""
        now = asyncio.get_running_loop().time()
        busy = set(self._publishing.values())
        free = [one for one in self._held if one not in busy and self._not_before.get(one, 0.0) <= now]
        if not free:
            return bool(busy)
        waiting: dict[int, list[Row]] = {}
        for lane, seq, message in await self._postgres.fetch(_READ, free, READ_ROWS):
            waiting.setdefault(lane, []).append(Row(seq, message))
        for lane, rows in waiting.items():
            task = asyncio.create_task(self._publish(lane, pack(rows)))
            task.add_done_callback(lambda _: self._event.set())
            self._publishing[task] = lane
        return bool(self._publishing)

    async def _publish(self, lane: int, packages: list[Package]) -> list[int]:
        """Publishes one message after the other; returns the rows that the broker confirmed."""
        to = destination(lane)
        exchange = self._exchanges[to.exchange]
        confirmed: list[int] = []
        for package in packages:
            message = aio_pika.Message(
                package.body,
                headers=to.headers(package.body),
                content_type=to.content_type,
                delivery_mode=DeliveryMode.PERSISTENT,
            )
            try:
                await exchange.publish(message, to.routing_key, mandatory=True, timeout=CONFIRM_SECONDS)
            except Exception as error:
                # Nacked, returned (no subscriber's queue yet), timed out or cut off: read this lane again later.
                failures = self._failures[lane] = self._failures.get(lane, 0) + 1
                self._not_before[lane] = asyncio.get_running_loop().time() + backoff(failures)
                metrics.REFUSED.inc()
                log.warning("publish_refused", lane=lane, error=type(error).__name__, failures=failures)
                break
            metrics.MESSAGE_EVENTS.observe(len(package.seqs))
            confirmed += package.seqs
        return confirmed
