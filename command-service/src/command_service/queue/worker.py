"""The worker: takes commands from the broker, executes them, and acknowledges after they have ended."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Final

import orjson
from aio_pika.abc import AbstractIncomingMessage

from command_service.envelope import CommandEnvelope
from command_service.outbox.packing import Row, pack
from command_service.queue import metrics
from command_service.queue.accepting import Acceptor
from command_service.queue.broker import Publisher
from command_service.queue.documents import CommandReader, message_of
from command_service.queue.executing import Execution, Reading, persist, read, written
from contracts.topology import routing_key

MAX_IN_HAND: Final = 500
"""Commands of one queue that are executed together."""


class _Messages:
    """Takes what has arrived of a queue, and acknowledges it when `_finish` has ended all of it."""

    def __init__(self, reader: CommandReader, execution: Execution) -> None:
        self._reader = reader
        self._execution = execution
        self._arrived: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()

    async def receive(self, message: AbstractIncomingMessage) -> None:
        self._arrived.put_nowait(message)

    async def run(self) -> None:
        while True:
            message = await self._arrived.get()
            commands = await self._read(message)
            while len(commands) < MAX_IN_HAND and not self._arrived.empty():
                message = self._arrived.get_nowait()
                commands += await self._read(message)
            await self._finish(commands)
            # With it, all before it.
            await message.ack(multiple=True)

    async def _read(self, message: AbstractIncomingMessage) -> list[CommandEnvelope]:
        reading: Reading = read(message, self._reader)
        for document, refusal in reading.refused:
            body = message.body if document is None else written(document)
            await self._execution.refuse(document, refusal, body)
        metrics.DELIVERED.inc(len(reading.commands))
        return reading.commands

    async def _finish(self, commands: Sequence[CommandEnvelope]) -> None:
        raise NotImplementedError


class CommandPartition(_Messages):
    """The queue of one partition: its commands are executed in their order."""

    async def _finish(self, commands: Sequence[CommandEnvelope]) -> None:
        await self._execution.execute(commands)


class Partitioner(_Messages):
    """The queue of those publishers who don't know the partitions: passes commands on, in their order, packed."""

    def __init__(self, reader: CommandReader, execution: Execution, acceptor: Acceptor, publisher: Publisher) -> None:
        super().__init__(reader, execution)
        self._acceptor = acceptor
        self._publisher = publisher

    async def _finish(self, commands: Sequence[CommandEnvelope]) -> None:
        partitions: dict[int, list[CommandEnvelope]] = {}
        for envelope in commands:
            partitions.setdefault(self._acceptor.partition_of(envelope), []).append(envelope)
        await asyncio.gather(*(self._pass_on(number, its) for number, its in partitions.items()))
        metrics.PARTITIONED.inc(len(commands))

    async def _pass_on(self, partition: int, commands: Sequence[CommandEnvelope]) -> None:
        messages = (orjson.dumps(message_of(envelope)).decode() for envelope in commands)
        for package in pack([Row(number, message) for number, message in enumerate(messages)]):
            await persist(partial(self._publisher.commands, routing_key(partition), package.body))
