"""Accepting commands for later: durable in Postgres before the sender hears of it, whatever the broker does."""

from collections.abc import Sequence

import orjson

from command_service.envelope import CommandEnvelope
from command_service.executor.executor import Executor
from command_service.executor.jobs import Accepted
from command_service.outbox.lanes import command_lane
from command_service.queue.documents import message_of
from contracts.topology import partition_of


class Acceptor:
    """Commands about one target are executed in the order in which they were accepted."""

    def __init__(self, executor: Executor, partitions: int) -> None:
        self._executor = executor
        self._partitions = partitions

    async def accept(self, envelopes: Sequence[CommandEnvelope]) -> None:
        """All of them, or none; those that came before only once. Raises what `Executor.accept` raises."""
        await self._executor.accept([self.accepted(envelope) for envelope in envelopes])

    def accepted(self, envelope: CommandEnvelope) -> Accepted:
        return Accepted(
            envelope.command_id,
            envelope.fingerprint,
            envelope.type,
            envelope.submitted_at,
            command_lane(self.partition_of(envelope)),
            orjson.dumps(message_of(envelope)).decode(),
        )

    def partition_of(self, envelope: CommandEnvelope) -> int:
        return partition_of(self._executor.target_of(envelope.command).partition_key, self._partitions)
