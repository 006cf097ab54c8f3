"""Relays on real servers that break at chosen moments, and the writers and queues around them."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import aio_pika
import asyncpg
import orjson
from aio_pika.abc import AbstractChannel, AbstractExchange, AbstractMessage, AbstractQueue
from aiormq.exceptions import AMQPError

from chassis import broker
from chassis.tasks import end
from command_service.outbox.lanes import destination, lanes
from command_service.outbox.relay import Relay, RelaySession
from command_service.queue.broker import declare_commands
from contracts.topology import EVENTS_EXCHANGE

PARTITIONS: Final = 2
LANES: Final = lanes(PARTITIONS)
RELAYS: Final = 2
WRITERS: Final = 3
DEADLINE: Final = 60.0
"""Seconds within which what must happen has happened, on however slow a machine."""

POINTS: Final = ("publish", "confirmed", "delete", "deleted")
"""Where a relay breaks: before a message is sent, behind its confirm, before and behind the delete of its rows."""

T = TypeVar("T")

_relay: ContextVar[int] = ContextVar("relay")


@dataclass(frozen=True)
class Fault:
    """What happens when a relay comes to `point` the next time."""

    point: str
    kind: str


@dataclass
class Row:
    """One row of the outbox. `begun` and `done` are the ticks of its commit, None while it is not committed."""

    number: int
    lane: int
    seq: int
    begun: int | None = None
    done: int | None = None

    def must_precede(self, other: "Row") -> bool:
        """Whether whoever reads the other one, reads this one before it."""
        assert self.done is not None
        assert other.begun is not None
        return self.seq < other.seq and (self.done <= other.begun or self.begun == other.begun)


class Pipeline:
    """Writers, relays and the queues behind them. Relays go on only while something `run`s."""

    def __init__(self, postgres_url: str, rabbitmq_url: str) -> None:
        self.runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self.rows: list[Row] = []
        self.open: list[tuple[asyncpg.Connection, list[Row]]] = []
        """Transactions that have written and not ended."""
        self.faults: list[Fault] = []
        self.most_unconfirmed = 0
        self._urls = (postgres_url, rabbitmq_url)
        self._relays: dict[int, asyncio.Task[None]] = {}
        self._passed = 0
        self._ticks = 0
        self._stack = AsyncExitStack()
        self._killing = asyncio.Lock()
        self._beside: list[asyncio.Task[None]] = []

    def run(self, work: Awaitable[T]) -> T:
        async def within_deadline() -> T:
            async with asyncio.timeout(DEADLINE):
                return await work

        return self.runner.run(within_deadline())

    async def start(self) -> None:
        self._idle = [await self._connect() for _ in range(WRITERS)]
        self._sql, self._killer = await self._connect(), await self._connect()
        connection = await self._stack.enter_async_context(await aio_pika.connect(self._urls[1]))
        self._channel: AbstractChannel = await connection.channel()
        await broker.declare_direct_exchange(self._channel, EVENTS_EXCHANGE)
        await declare_commands(self._channel, PARTITIONS)
        self._queues = {lane: await self._queue(lane) for lane in LANES}

    async def close(self) -> None:
        await self.leave()
        await self._stack.aclose()

    async def _connect(self) -> asyncpg.Connection:
        connection = await asyncpg.connect(self._urls[0])
        self._stack.callback(connection.terminate)
        return connection

    async def _queue(self, lane: int) -> AbstractQueue:
        queue = await self._channel.declare_queue(f"lane-{lane}", durable=True)
        await queue.bind(destination(lane).exchange, destination(lane).routing_key)
        return queue

    # What writers do

    async def write(self, written: Sequence[int]) -> None:
        """A transaction that stays open, with a row for each of these lanes; none while too many are open."""
        if not self._idle:
            return
        connection = self._idle.pop()
        await connection.execute("BEGIN")
        rows = []
        for lane in written:
            number = len(self.rows)
            insert = "INSERT INTO outbox (partition, message) VALUES ($1, $2) RETURNING seq"
            seq = await connection.fetchval(insert, lane, orjson.dumps({"n": number}).decode())
            rows.append(Row(number, lane, seq))
            self.rows.append(rows[-1])
        self.open.append((connection, rows))

    async def end(self, which: int, how: str) -> None:
        """Ends one of the open transactions, if there is one; `how` is COMMIT or ROLLBACK."""
        if not self.open:
            return
        connection, rows = self.open.pop(which % len(self.open))
        self._ticks += 1
        begun = self._ticks
        await connection.execute(how)
        self._ticks += 1
        for row in rows if how == "COMMIT" else ():
            row.begun, row.done = begun, self._ticks
        self._idle.append(connection)

    # What relays do

    def start_relay(self, number: int) -> None:
        async def create() -> None:
            self._create(number)

        self.run(create())

    def _create(self, number: int) -> None:
        async def relay() -> None:
            _relay.set(number)
            await Relay(*self._urls, PARTITIONS).run()

        if number not in self._relays:
            self._relays[number] = asyncio.create_task(relay())

    async def stop_relays(self, *numbers: int) -> None:
        await end(*(self._relays.pop(number) for number in numbers if number in self._relays))

    async def work(self, points: int) -> None:
        """Until relays have passed so many more points, or there is nothing that they could do."""
        enough = self._passed + points
        while self._relays and self._passed < enough and not await self.is_drained():  # noqa: ASYNC110
            await asyncio.sleep(0.002)

    async def is_drained(self) -> bool:
        return not await self._sql.fetchval("SELECT EXISTS (SELECT FROM outbox)")

    async def pass_point(self, point: str, channel: AbstractChannel) -> None:
        self._passed += 1
        fault = next((fault for fault in self.faults if fault.point == point), None)
        if fault is None:
            return
        self.faults.remove(fault)
        match fault.kind:
            case "the relay is killed":
                if (killed := self._relays.pop(_relay.get(), None)) is not None:
                    self._beside.append(asyncio.create_task(end(killed)))
                await asyncio.Event().wait()
            case "postgres hangs up":
                await self._surely(self._hang_up())
            case "the broker hangs up":
                try:
                    underlay = await channel.get_underlay_channel()
                    await underlay.basic_publish(b"", exchange="nowhere")
                except AMQPError:
                    pass
            case "the answer is no":
                raise ConnectionResetError(fault)
            case "another commits":
                await self._surely(self.end(0, "COMMIT"))

    async def _surely(self, work: Coroutine[Any, Any, None]) -> None:
        """To its end, also if the relay in which it happens is stopped meanwhile."""
        task = asyncio.create_task(work)
        self._beside.append(task)
        await asyncio.shield(task)

    async def _hang_up(self) -> None:
        async with self._killing:
            await self._killer.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'stockroom-relay' AND datname = current_database()"
            )

    # What queues do

    async def unbind(self, lane: int) -> None:
        """Nobody wants what is published in a lane of events. Those of commands have queues that relays declare."""
        await self._queues[lane].unbind(EVENTS_EXCHANGE, destination(lane).routing_key)

    async def bind_all(self) -> None:
        for lane in range(PARTITIONS):
            await self._queues[lane].bind(EVENTS_EXCHANGE, destination(lane).routing_key)

    async def arrived(self, lane: int) -> list[int]:
        """The numbers of all rows that came to a lane's queue, each for the first time."""
        numbers: list[int] = []
        while (message := await self._queues[lane].get(no_ack=True, fail=False)) is not None:
            numbers += (each["n"] for each in orjson.loads(message.body))
        return list(dict.fromkeys(numbers))

    async def calm(self) -> None:
        """No more faults; returns when those under way are through, and no transaction is open."""
        self.faults.clear()
        beside, self._beside = self._beside, []
        await asyncio.gather(*beside)
        while self.open:
            await self.end(0, "COMMIT")

    async def drain(self) -> None:
        """All that is under way gets through: one relay, nothing in its way."""
        await self.calm()
        await self.bind_all()
        self._create(0)
        while not await self.is_drained():  # noqa: ASYNC110
            await asyncio.sleep(0.002)
        await self.stop_relays(*range(RELAYS))

    async def leave(self) -> None:
        await self.stop_relays(*range(RELAYS))
        await self.calm()
        await self._sql.execute("DELETE FROM outbox")
        for queue in self._queues.values():
            await queue.purge()
        self.rows.clear()
        self.most_unconfirmed = 0


class Watched:
    """An exchange that counts what is unconfirmed of each routing key."""

    def __init__(self, exchange: AbstractExchange, at: Callable[[str], Awaitable[None]], pipeline: Pipeline) -> None:
        self.exchange = exchange
        self._at = at
        self._pipeline = pipeline
        self._unconfirmed: dict[str, int] = {}

    async def publish(self, message: AbstractMessage, routing_key: str, **options: Any) -> None:
        count = self._unconfirmed[routing_key] = self._unconfirmed.get(routing_key, 0) + 1
        self._pipeline.most_unconfirmed = max(self._pipeline.most_unconfirmed, count)
        try:
            await self._at("publish")
            await self.exchange.publish(message, routing_key, **options)
            await self._at("confirmed")
        finally:
            self._unconfirmed[routing_key] -= 1


class Session(RelaySession):
    """A relay's session that breaks as `pipeline` says."""

    pipeline: Pipeline

    def __init__(
        self, postgres: asyncpg.Connection, exchanges: Mapping[str, AbstractExchange], lanes: Sequence[int]
    ) -> None:
        watched: Any = {name: Watched(exchange, self._at, self.pipeline) for name, exchange in exchanges.items()}
        super().__init__(postgres, watched, lanes)
        self._channel = exchanges[EVENTS_EXCHANGE].channel

    async def _at(self, point: str) -> None:
        await self.pipeline.pass_point(point, self._channel)

    async def _delete(self, confirmed: list[tuple[int, int]]) -> None:
        if confirmed:
            await self._at("delete")
        await super()._delete(confirmed)
        if confirmed:
            await self._at("deleted")
