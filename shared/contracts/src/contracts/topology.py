"""Exchanges, queues and partitions of the broker: what publishers and subscribers must agree on."""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

EVENTS_EXCHANGE: Final = "stockroom.events"
COMMANDS_EXCHANGE: Final = "stockroom.commands"
DEAD_LETTER_EXCHANGE: Final = "stockroom.dead-letter"
DEAD_LETTER_QUEUE: Final = "stockroom.dead-letter"
REASON_HEADER: Final = "x-stockroom-reason"
"""Why a message is in the dead-letter queue."""

ORIGIN_HEADER: Final = "x-stockroom-origin"
"""The queue by which it had come."""

DEFAULT_PARTITIONS: Final = 8
MAX_PARTITIONS: Final = 64

MAX_EVENTS_PER_MESSAGE: Final = 100
MAX_MESSAGE_BYTES: Final = 256 * 1024

COMMANDS_IN: Final = "in"
"""Routing key of the commands exchange for publishers who don't know how many partitions there are."""

CONTENT_TYPE_COMMANDS: Final = "application/json"
CONTENT_TYPE_EVENTS: Final = "application/cloudevents-batch+json"

# A crash loop must not push innocent messages out, and without a limit RabbitMQ 3.10 requeues to the back.
_DELIVERY_LIMIT: Final = 1_000_000


def partition_of(partition_key: str, partitions: int) -> int:
    """The partition of a key, 0 ≤ p < `partitions`. CRC-32, because it is the same in every process and for ever."""
    return zlib.crc32(partition_key.encode()) % partitions


def routing_key(partition: int) -> str:
    """By which everything of a partition comes."""
    return str(partition)


def routing_key_of_kind(partition: int, kind: str) -> str:
    """By which those messages of a partition come that have an event of a stream of this kind, whole."""
    return f"{partition}.{kind}"


def further_routing(partition: int, kinds: Iterable[str]) -> dict[str, Any]:
    """Headers of a message with events of streams of these kinds: the broker routes by them too, and takes them off."""
    return {"BCC": [routing_key_of_kind(partition, kind) for kind in kinds]}


@dataclass(frozen=True, slots=True)
class EventQueue:
    """One subscriber's queue of one partition. Every subscriber has its own queues, and so its own pace."""

    subscriber: str
    partition: int

    @property
    def name(self) -> str:
        return f"{EVENTS_EXCHANGE}.{self.subscriber}.{self.partition}"

    @property
    def arguments(self) -> dict[str, Any]:
        return quorum_queue_arguments()


@dataclass(frozen=True, slots=True)
class CommandQueue:
    """The commands whose targets lie in one partition; or, with `COMMANDS_IN`, those still to be partitioned."""

    key: str

    @property
    def name(self) -> str:
        return f"{COMMANDS_EXCHANGE}.{self.key}"

    @property
    def arguments(self) -> dict[str, Any]:
        return quorum_queue_arguments()


def quorum_queue_arguments() -> dict[str, Any]:
    """A replicated queue with one active consumer, which hands what cannot be read at all to the dead-letter queue."""
    return {
        "x-queue-type": "quorum",
        "x-single-active-consumer": True,
        "x-delivery-limit": _DELIVERY_LIMIT,
        "x-dead-letter-exchange": DEAD_LETTER_EXCHANGE,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }


def read_model_subscriber(generation: int) -> str:
    """The subscriber that feeds one generation of the read model."""
    return f"read-model-{generation}"
