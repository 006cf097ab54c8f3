"""The lanes of the outbox: what goes to one routing key of one exchange, in one order.

A lane is a number in the outbox's column `partition`: below `MAX_PARTITIONS` it is a partition of the events, from
there on one of the commands. Lanes don't wait for each other.
"""

from dataclasses import dataclass
from typing import Any, Final

from contracts.envelope import kinds_in
from contracts.topology import (
    COMMANDS_EXCHANGE,
    CONTENT_TYPE_COMMANDS,
    CONTENT_TYPE_EVENTS,
    EVENTS_EXCHANGE,
    MAX_PARTITIONS,
    further_routing,
    routing_key,
)

_FIRST_OF_COMMANDS: Final = MAX_PARTITIONS


def command_lane(partition: int) -> int:
    return _FIRST_OF_COMMANDS + partition


def lanes(partitions: int) -> list[int]:
    """Every lane of a shop with so many partitions."""
    return [*range(partitions), *(command_lane(partition) for partition in range(partitions))]


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a lane's messages are published to."""

    exchange: str
    routing_key: str
    content_type: str
    partition: int | None = None
    """Of the events; None for commands."""

    def headers(self, body: bytes) -> dict[str, Any]:
        """Of the message with this body."""
        return {} if self.partition is None else further_routing(self.partition, kinds_in(body))


def destination(lane: int) -> Destination:
    if lane < _FIRST_OF_COMMANDS:
        return Destination(EVENTS_EXCHANGE, routing_key(lane), CONTENT_TYPE_EVENTS, lane)
    return Destination(COMMANDS_EXCHANGE, routing_key(lane - _FIRST_OF_COMMANDS), CONTENT_TYPE_COMMANDS)
