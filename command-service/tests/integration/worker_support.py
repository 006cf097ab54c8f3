"""Workers beside the relay, as several processes would run them, and a publisher that knows no partitions."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aio_pika
import asyncpg
from aio_pika.abc import AbstractChannel

from chassis.consumer import Consumer, Handler, Subscription
from command_service.bootstrap import command_reader
from command_service.database import make_engine
from command_service.envelope import CommandEnvelope, Outcome
from command_service.mediator import Behaviour, Mediator, Next
from command_service.queue.accepting import Acceptor
from command_service.queue.broker import Publisher, command_queues, declare_commands
from command_service.queue.executing import Execution
from command_service.queue.settling import Settling
from command_service.queue.worker import CommandPartition, Partitioner
from command_service.settings import CommandSettings
from contracts.topology import COMMANDS_EXCHANGE, COMMANDS_IN, DEAD_LETTER_QUEUE

from .support import PARTITIONS, Client, until


@dataclass
class Worker:
    """One process. `executed` are the ids that it has sent to the executor and that came back, in that order."""

    consumer: Consumer
    task: "asyncio.Task[None]"
    executed: list[str] = field(default_factory=list)

    async def kill(self) -> None:
        """Everything under way is left as it is."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@asynccontextmanager
async def working(
    settings: CommandSettings, client: Client, rabbitmq_url: str, *before: Behaviour
) -> AsyncIterator[Worker]:
    """A worker that runs as long as the block; commands pass through the behaviours `before` first."""
    engine = make_engine(settings, pool_size=4, pool_pre_ping=True)
    executed: list[str] = []

    async def recording(envelope: CommandEnvelope, following: Next) -> Outcome:
        outcome = await following(envelope)
        executed.append(envelope.command_id)
        return outcome

    reader, publisher = command_reader(), Publisher(rabbitmq_url, "test-worker")
    execution = Execution(Mediator([*before, recording], client.executor.execute), Settling(engine), publisher)

    def handler(number: int) -> Handler:
        if number < PARTITIONS:
            return CommandPartition(reader, execution)
        return Partitioner(reader, execution, Acceptor(client.executor, PARTITIONS), publisher)

    subscription = Subscription("test-worker", command_queues(PARTITIONS), DEAD_LETTER_QUEUE, 50)
    consumer = Consumer(rabbitmq_url, subscription, handler, lambda _: None)
    worker = Worker(consumer, asyncio.create_task(consumer.run()), executed)
    try:
        yield worker
    finally:
        await worker.kill()
        await publisher.close()
        await engine.dispose()


async def consuming(worker: Worker) -> None:
    async def everything() -> bool:
        assert not worker.task.done()
        return len(worker.consumer.consumed) == PARTITIONS + 1

    await until(everything)


@dataclass
class Broker:
    """The broker as a program of others sees it."""

    channel: AbstractChannel

    async def publish(self, *bodies: bytes, key: str = COMMANDS_IN, message_id: str | None = None) -> None:
        exchange = await self.channel.get_exchange(COMMANDS_EXCHANGE, ensure=False)
        for body in bodies:
            await exchange.publish(aio_pika.Message(body, delivery_mode=2, message_id=message_id), key)

    async def waiting(self, queue: str) -> int:
        """How many messages of a queue nobody has."""
        declared = await self.channel.declare_queue(queue, passive=True)
        return declared.declaration_result.message_count or 0

    async def dead_letters(self, count: int) -> list[tuple[bytes, str]]:
        """So many dead letters with their reasons, once they are there."""
        queue = await self.channel.declare_queue(DEAD_LETTER_QUEUE, passive=True)
        found: list[tuple[bytes, str]] = []

        async def enough() -> bool:
            while (message := await queue.get(fail=False, no_ack=True)) is not None:
                found.append((message.body, str(message.headers["x-stockroom-reason"])))
            return len(found) >= count

        await until(enough)
        return found


@asynccontextmanager
async def broker_of(rabbitmq_url: str) -> AsyncIterator[Broker]:
    """With all queues of commands declared, as the relay does at its start."""
    connection = await aio_pika.connect(rabbitmq_url)
    async with connection:
        channel = await connection.channel(on_return_raises=True)
        await declare_commands(channel, PARTITIONS)
        yield Broker(channel)


async def until_ended(sql: asyncpg.Connection, keys: Sequence[str], status: str = "succeeded") -> None:
    async def all_have() -> bool:
        count = "SELECT count(*) FROM receipts WHERE command_id = ANY($1) AND status = $2"
        return bool(await sql.fetchval(count, list(keys), status) == len(set(keys)))

    await until(all_have)
