"""Hot documents in memory: who asks for one again is answered without asking Redis. See decisions/0008-memory-image.md.

What is held was read from Redis as a whole, and leaves when its being written is announced. It is answered only while
both leases last: the subscription was heard from, and a read found the pointer where it was and the generation whole.
A lease begins when the question was sent, not when the answer came: a process that was stopped meanwhile trusts none.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from time import monotonic
from typing import Final

from prometheus_client import REGISTRY, Counter, Gauge, Metric
from prometheus_client.metrics_core import CounterMetricFamily
from prometheus_client.registry import Collector

from query_service.read_model.demand import Demand, Versions

CONFIRMED_SECONDS: Final = 0.1
"""So long after a read found the generation live and whole, documents may be answered without looking again."""

RENEWED_SECONDS: Final = 0.05
"""So long after it, one reader asks Redis all the same, so that the lease is renewed while the others are answered."""

HEARD_SECONDS: Final = 0.5
"""So long after a ping that the subscription answered, all that is announced counts as heard."""

HELD_SECONDS: Final = 10.0
"""No document is held for longer: should its being written ever go unannounced, this is how late it is seen."""

_MOST_SEEN: Final = 16
"""A token that names more streams than this is not remembered with the document."""

_SLOTS: Final = 4096
_OVERHEAD: Final = 600
"""About so many bytes a document takes beside its own."""

Sendable = tuple[bytes, bytes]
"""Entity tag and body."""

Stamp = tuple[int, int]
"""Of a key: the same again only when nothing was cleared, nor the key announced, in between."""


class _Lookups(Collector):
    """How often documents were asked for, counted without the client library's lock: it is the hottest route."""

    hits = misses = 0

    def collect(self) -> Iterator[Metric]:
        family = CounterMetricFamily(
            "stockroom_query_image_lookups", "Single documents asked for, by outcome.", labels=["outcome"]
        )
        family.add_metric(["hit"], self.hits)
        family.add_metric(["miss"], self.misses)
        yield family


_LOOKUPS: Final = _Lookups()
REGISTRY.register(_LOOKUPS)
_ANNOUNCED: Final = Counter("stockroom_query_image_announced_total", "Documents let go because they were written.")
_EVICTED: Final = Counter("stockroom_query_image_evicted_total", "Documents let go for want of room.")
_CLEARED: Final = Counter("stockroom_query_image_cleared_total", "Times that all documents were let go.", ["reason"])
_DOCUMENTS: Final = Gauge("stockroom_query_image_documents", "Documents held in memory.")
_BYTES: Final = Gauge("stockroom_query_image_bytes", "Memory that they take, about.")


@dataclass(slots=True)
class _Entry:
    document: Sendable
    seen: Versions
    until: float
    size: int

    def has_seen(self, demand: Demand) -> bool:
        """By what was read together with the document; what was not asked for then is not known now."""
        return all(self.seen.get((seen.stream_id, seen.partition), -1) >= seen.version for seen in demand.seen)


class Image:
    """At most so many documents and bytes, by their keys; those that were asked for last stay. 0 documents: none."""

    def __init__(self, most_documents: int, most_bytes: int) -> None:
        self._most_documents = most_documents
        self._most_bytes = most_bytes
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._bytes = 0
        self._clears = 0
        self._announced = [0] * _SLOTS
        self._hears = False
        self._heard_until = self._confirmed_until = self._until = self._renewal = 0.0
        _DOCUMENTS.set_function(lambda: len(self._entries))
        _BYTES.set_function(lambda: self._bytes)

    def get(self, key: str, demand: Demand) -> Sendable | None:
        """The document, if it is held, may be answered, and has seen what is demanded."""
        time = monotonic()
        if time < self._until:
            if time < self._renewal:
                entry = self._entries.get(key)
                if entry is not None and time < entry.until and (not demand.seen or entry.has_seen(demand)):
                    self._entries.move_to_end(key)
                    _LOOKUPS.hits += 1
                    return entry.document
            else:
                self._renewal = time + RENEWED_SECONDS
        _LOOKUPS.misses += 1
        return None

    def stamp(self, key: str) -> Stamp:
        """To be taken before the document is read, and handed to `put` with it."""
        return self._clears, self._announced[hash(key) % _SLOTS]

    def put(self, key: str, stamp: Stamp, document: Sendable | None, seen: Versions) -> None:
        """Holds what was read in place of what was held, unless it may have been written since; absence is not held.

        `seen` is what the same read told of streams with nothing parked in their partitions.
        """
        self._remove(key)
        if document is None or not self._hears or stamp != self.stamp(key):
            return
        size = _OVERHEAD + sum(map(len, document)) + 250 * len(seen)
        self._entries[key] = _Entry(document, seen if len(seen) <= _MOST_SEEN else {}, monotonic() + HELD_SECONDS, size)
        self._bytes += size
        while len(self._entries) > self._most_documents or self._bytes > self._most_bytes:
            _, entry = self._entries.popitem(last=False)
            self._bytes -= entry.size
            _EVICTED.inc()

    def drop(self, keys: Iterable[str]) -> None:
        """These were written: not what is held of them, nor what is being read of them just now."""
        for key in keys:
            self._announced[hash(key) % _SLOTS] += 1
            if self._remove(key):
                _ANNOUNCED.inc()

    def clear(self, reason: str) -> None:
        """Nothing that is held, or being read just now, is right for sure any more."""
        if self._entries:
            _CLEARED.labels(reason).inc()
        self._entries.clear()
        self._bytes = 0
        self._clears += 1

    def subscribed(self, since: float) -> None:
        """What is written from now on is heard of; `since` is when this was asked."""
        self.clear("subscribed")
        self._hears = self._most_documents > 0
        self.heard(since)

    def deaf(self) -> None:
        """The subscription is lost: nothing is answered, nor held, until it is there again."""
        self._hears = False
        self._heard_until = self._until = 0.0
        self.clear("subscription lost")

    def heard(self, since: float) -> None:
        """The subscription has answered what was asked `since`; all that was announced before has been dropped."""
        self._heard_until = since + HEARD_SECONDS
        self._until = min(self._heard_until, self._confirmed_until)

    def confirmed(self, since: float) -> None:
        """A read sent `since` found the generation live and whole."""
        self._confirmed_until = max(self._confirmed_until, since + CONFIRMED_SECONDS)
        self._renewal = max(self._renewal, since + RENEWED_SECONDS)
        self._until = min(self._heard_until, self._confirmed_until)

    def _remove(self, key: str) -> bool:
        entry = self._entries.pop(key, None)
        if entry is None:
            return False
        self._bytes -= entry.size
        return True
