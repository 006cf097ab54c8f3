"""Hot answers in memory: who asks for one again is answered without asking Redis. See decisions/0008-memory-image.md.

A document is held by its key, a page by what asked for it. It leaves when anything that it was read from is announced
as written: the document itself; of a page each of its documents, and its index. It is answered only while both leases
last: the subscription was heard from, and a read found the pointer where it was and the generation whole. A lease
begins when the question was sent, not when the answer came: a process that was stopped meanwhile trusts none.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import uniform
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

HELD_SECONDS: Final = 120.0
"""Nothing is held for longer: should its being written ever go unannounced, this is how late it is seen.

The shorter, the more readers wait for Redis: decisions/0008-memory-image.md.
"""

_MOST_SEEN: Final = 16
"""A token that names more streams than this is not remembered with the document."""

_MOST_SOURCES: Final = 128
"""A page that was read from more keys than this is not held."""

_SLOTS: Final = 4096
_OVERHEAD: Final = 600
"""About so many bytes an answer takes beside its own."""

_SOURCE_BYTES: Final = 250
"""About so many bytes each key takes that a page was read from."""

Sendable = tuple[bytes, ...]
"""Entity tag and body; and the value of a Link header, where there is one."""

Stamp = tuple[int, int]
"""A moment: how often all was cleared, and how many keys had been announced."""


class _Lookups(Collector):
    """How often answers were asked for, counted without the client library's lock: it is the hottest route."""

    hits = misses = 0

    def collect(self) -> Iterator[Metric]:
        family = CounterMetricFamily(
            "stockroom_query_image_lookups",
            "Documents and pages asked for, by outcome.",
            labels=["outcome"],
        )
        family.add_metric(["hit"], self.hits)
        family.add_metric(["miss"], self.misses)
        yield family


_LOOKUPS: Final = _Lookups()
REGISTRY.register(_LOOKUPS)
_ANNOUNCED: Final = Counter("stockroom_query_image_announced_total", "Answers let go because they were written.")
_EVICTED: Final = Counter("stockroom_query_image_evicted_total", "Answers let go for want of room.")
_CLEARED: Final = Counter("stockroom_query_image_cleared_total", "Times that all were let go.", ["reason"])
_DOCUMENTS: Final = Gauge("stockroom_query_image_documents", "Documents and pages held in memory.")
_BYTES: Final = Gauge("stockroom_query_image_bytes", "Memory that they take, about.")


@dataclass(slots=True)
class _Entry:
    answer: Sendable
    seen: Versions
    sources: Sequence[str]
    until: float
    size: int

    def has_seen(self, demand: Demand) -> bool:
        """By what was read together with it; what was not asked for then is not known now."""
        return all(self.seen.get((seen.stream_id, seen.partition), -1) >= seen.version for seen in demand.seen)


class Image:
    """At most so many answers and bytes; those that were asked for last stay. 0 answers: none."""

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._read_from: dict[str, set[str]] = {}
        """Key → names of the pages that were read from it."""
        self._bytes = 0
        self._clears = 0
        self._announced = 0
        self._last_announced = [0] * _SLOTS
        self._hears = False
        self._heard_until = self._confirmed_until = self._until = self._renewal = 0.0
        _DOCUMENTS.set_function(lambda: len(self._entries))
        _BYTES.set_function(lambda: self._bytes)

    def get(self, name: str, demand: Demand) -> Sendable | None:
        """The answer, if it is held, may be given, and has seen what is demanded."""
        time = monotonic()
        if time < self._until:
            if time < self._renewal:
                entry = self._entries.get(name)
                if entry is not None and time < entry.until and (not demand.seen or entry.has_seen(demand)):
                    self._entries.move_to_end(name)
                    _LOOKUPS.hits += 1
                    return entry.answer
            else:
                self._renewal = time + RENEWED_SECONDS
        _LOOKUPS.misses += 1
        return None

    def stamp(self) -> Stamp:
        """To be taken before anything is read, and handed to `put` or `put_page` with what came of it."""
        return self._clears, self._announced

    def put(self, key: str, stamp: Stamp, document: Sendable | None, seen: Versions) -> None:
        """Holds a document in place of what was held, unless it may have been written since; absence is not held.

        `seen` is what the same read told of streams with nothing parked in their partitions.
        """
        self._remove(key)
        if document is not None and self._is_current(stamp, (key,)):
            size = _OVERHEAD + sum(map(len, document)) + 250 * len(seen)
            self._hold(key, _Entry(document, seen if len(seen) <= _MOST_SEEN else {}, (), _until(), size))

    def put_page(self, name: str, stamp: Stamp, page: Sendable, sources: Sequence[str]) -> None:
        """Holds a page in place of what was held, unless any of the keys that it was read from may have been written.

        It answers no token: no stream's version was read with it.
        """
        self._remove(name)
        if len(sources) <= _MOST_SOURCES and self._is_current(stamp, sources):
            size = _OVERHEAD + len(name) + sum(map(len, page)) + _SOURCE_BYTES * len(sources)
            for key in sources:
                self._read_from.setdefault(key, set()).add(name)
            self._hold(name, _Entry(page, {}, sources, _until(), size))

    def drop(self, keys: Iterable[str]) -> None:
        """These were written: not what is held of them, nor what is being read of them just now."""
        for key in keys:
            self._announced += 1
            self._last_announced[hash(key) % _SLOTS] = self._announced
            if self._remove(key):
                _ANNOUNCED.inc()
            for page in tuple(self._read_from.get(key, ())):
                self._remove(page)
                _ANNOUNCED.inc()

    def clear(self, reason: str) -> None:
        """Nothing that is held, or being read just now, is right for sure any more."""
        if self._entries:
            _CLEARED.labels(reason).inc()
        self._entries.clear()
        self._read_from.clear()
        self._bytes = 0
        self._clears += 1

    def subscribed(self, since: float) -> None:
        """What is written from now on is heard of; `since` is when this was asked."""
        self.clear("subscribed")
        self._hears = self._most > 0
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

    def _is_current(self, stamp: Stamp, keys: Iterable[str]) -> bool:
        """Whether all that is written is heard of, and none of these keys was announced since."""
        clears, announced = stamp
        return (
            self._hears
            and clears == self._clears
            and (
                announced == self._announced
                or all(self._last_announced[hash(key) % _SLOTS] <= announced for key in keys)
            )
        )

    def _hold(self, name: str, entry: _Entry) -> None:
        self._entries[name] = entry
        self._bytes += entry.size
        while len(self._entries) > self._most or self._bytes > self._most_bytes:
            self._remove(next(iter(self._entries)))
            _EVICTED.inc()

    def _remove(self, name: str) -> bool:
        entry = self._entries.pop(name, None)
        if entry is None:
            return False
        self._bytes -= entry.size
        for key in entry.sources:
            pages = self._read_from[key]
            pages.discard(name)
            if not pages:
                del self._read_from[key]
        return True


def _until() -> float:
    """At random, or all that was read in one busy moment would be read again in one."""
    return monotonic() + HELD_SECONDS * uniform(0.5, 1.0)
