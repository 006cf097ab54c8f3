"""Makes logs for the tests: events that are numbered as the event store would."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

import orjson

from contracts import envelope, events, streams
from contracts.envelope import Metadata, RecordedEvent
from contracts.events import Event
from contracts.keys import Generation
from contracts.topology import partition_of

PARTITIONS = 3
GENERATION = Generation(1)
_METADATA = Metadata("Test", "c-1", "c-1", "c-1")


def product_id(number: int) -> str:
    return str(UUID(int=number))


def order_id(number: int) -> str:
    return str(UUID(int=0xABC << 100 | number))


class Log:
    """All events of a shop, in the order of their positions."""

    def __init__(self, events: Iterable[RecordedEvent] = ()) -> None:
        self.events: list[RecordedEvent] = list(events)
        self.discarded: set[str] = set()
        """Ids of events that must have no effect."""
        self.unsettled = 0
        """So many of the last events are not settled: a transaction that began before them still runs."""
        self._versions: dict[str, int] = {event.stream_id: event.version for event in self.events}

    def add(self, stream_id: str, event: Event, **attributes: Any) -> RecordedEvent:
        version = self._versions[stream_id] = self._versions.get(stream_id, 0) + 1
        position = len(self.events) + 1
        # Days of 50 events, and back again: times don't rise with positions where something is told afterwards.
        day = 1 + position // 50 % 28
        moment = f"2026-11-{day:02}T10:{position // 60 % 60:02}:{position % 60:02}.000000Z"
        fields: dict[str, Any] = {
            "position": position,
            "stream_id": stream_id,
            "version": version,
            "partition_key": streams.partition_key_of(stream_id),
            "type": event.type,
            "schema_version": event.schema_version,
            "data": event.model_dump(mode="json"),
            "time": moment,
            "recorded_at": moment,
            "metadata": _METADATA,
        }
        recorded = RecordedEvent(**{**fields, **attributes})
        self.events.append(recorded)
        return recorded

    @property
    def effective(self) -> list[RecordedEvent]:
        return [e for e in self.events if e.id not in self.discarded]

    @property
    def settled(self) -> int:
        return len(self.events) - self.unsettled

    def of_partition(self, partition: int) -> list[RecordedEvent]:
        return [e for e in self.events if partition_of(e.partition_key, PARTITIONS) == partition]

    def version(self, stream_id: str) -> int:
        return self._versions.get(stream_id, 0)

    def of_stream(self, stream_id: str) -> list[RecordedEvent]:
        return [e for e in self.events if e.stream_id == stream_id]


def add_product(log: Log, number: int, *, name: str = "Chai", price: str = "18.00", stock: int = 5) -> str:
    product = product_id(number)
    log.add(
        streams.product_stream(product),
        events.ProductAdded(
            name=f"{name} {number}",
            description=None,
            price=price,
            currency="EUR",
            sku=f"SKU-{number}",
            category=f"category {number % 3}" if number % 4 else None,
        ),
    )
    log.add(streams.inventory_stream(product), events.InventoryOpened(quantity=stock))
    return product


def message(events_: Iterable[RecordedEvent]) -> bytes:
    return b"[" + b",".join(map(envelope.encode, events_)) + b"]"


def ndjson(events_: Iterable[RecordedEvent]) -> bytes:
    return b"".join(orjson.dumps(orjson.loads(envelope.encode(e))) + b"\n" for e in events_)
