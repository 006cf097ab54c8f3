"""What an operator does once after Postgres was restored from a backup."""

from typing import Final

from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import ChannelNotFoundEntity
from rich.console import Console
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis import broker
from chassis.consumer import BROKER_LOST
from command_service.database import ServerUnreachable
from command_service.processes.runner import event_queues, managers

POSITIONS: Final = 1_000_000
"""So many positions the lost future is taken to have had at most."""

_MOVE_POSITIONS: Final = text("""
WITH before AS MATERIALIZED (
    SELECT CASE WHEN is_called THEN last_value ELSE 0 END AS position FROM events_position_seq)
SELECT position, setval('events_position_seq', position + :by) FROM before
""")


async def after_restore(engine: AsyncEngine, partitions: int, rabbitmq_url: str) -> int:
    """Makes the process managers' queues and the log one again; returns the exit code. Harmless when run again.

    The queues go, with the events that the log has lost: what the log has, the managers' walk brings. No position of
    the lost future is used again, so that nobody who has seen it takes another event for it. While a queue has a
    consumer nothing is done.

    Raises:
        ServerUnreachable: the broker can't be reached; it can be run again.
    """
    console = Console(highlight=False, soft_wrap=True)
    try:
        async with await broker.connect(rabbitmq_url, "stockroom-after-restore") as connection:
            consumers = await _consumers(connection, partitions)
            if busy := [name for name, count in consumers.items() if count]:
                console.print(f"Stop every process first: {', '.join(busy)} still has a consumer. Nothing was done.")
                return 1
            channel = await connection.channel()
            for name in consumers:
                deleted = await channel.queue_delete(name)
                console.print(f"{name}: deleted, with {deleted.message_count} message(s).")
    except BROKER_LOST as error:
        raise ServerUnreachable(f"RabbitMQ can't be reached ({error}). Check STOCKROOM_RABBITMQ_URL.") from error
    console.print(f"{len(consumers)} queue(s) of process managers deleted; they are made again at the next start.")
    async with engine.begin() as connection:
        before, after = (await connection.execute(_MOVE_POSITIONS, {"by": POSITIONS})).one()
    console.print(f"The log's positions go on from {after}; they stood at {before}.")
    return 0


async def _consumers(connection: AbstractConnection, partitions: int) -> dict[str, int]:
    """How many consumers each of the managers' queues has; those that there are not are left out."""
    found: dict[str, int] = {}
    for queue in [queue for manager in managers(0) for queue in event_queues(manager, partitions)]:
        # The broker closes a channel on which a missing queue was asked for.
        channel = await connection.channel()
        try:
            declared = await channel.declare_queue(queue.name, passive=True)
        except ChannelNotFoundEntity:
            continue
        found[queue.name] = declared.declaration_result.consumer_count or 0
        await channel.close()
    return found
