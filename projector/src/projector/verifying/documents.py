"""Compares documents, their index entries, versions, histories and alerts with the log, partition by partition.

A key whose events fit into a page is folded and compared with what Redis has at one moment, and so usually are all keys
of a page at once. What does not agree at once, and what is larger, is looked at again by itself.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from chassis.tasks import end
from contracts.envelope import RecordedEvent
from projector.batch import Batch, Fact, gather
from projector.discards import Discards
from projector.feed import Feed
from projector.projections.indexing import NO_ENTRIES, Entries
from projector.verifying import comparing
from projector.verifying.balance import Balance
from projector.verifying.findings import Findings
from projector.verifying.folded import Folded, document_keys, history_keys
from projector.verifying.indexes import Indexes, by_index, holds
from projector.verifying.one_key import OneKey
from projector.verifying.patience import Patience
from projector.verifying.reading import Reader, Snapshot, distinct


@dataclass(slots=True)
class _Key:
    """All events that the log had of a partition key, and the id of the one that stands before them."""

    before: str | None
    events: list[RecordedEvent] = field(default_factory=list)


class _Expected:
    """What a partition key has once all of its facts are applied, and where."""

    def __init__(self, reader: Reader, facts: list[Fact]) -> None:
        self.facts = facts
        self.folded = _fold(reader, facts)
        self.streams = distinct(fact.recorded.stream_id for fact in facts)
        self.documents = distinct(document_keys(facts, reader.generation))
        self.histories = distinct(history_keys(facts, reader.generation))
        self._entries: Entries | None = _entries(self.folded)

    @property
    def entries(self) -> Entries:
        return self._entries or NO_ENTRIES

    @property
    def pointers(self) -> list[str]:
        return [pointer for pointer, _ in self.entries.pointers]

    def is_level(self, snapshot: Snapshot) -> bool:
        return all(fact.recorded.version <= snapshot.versions[fact.recorded.stream_id] for fact in self.facts)

    def is_indexed(self, snapshot: Snapshot) -> bool:
        return self._entries is not None and holds(self._entries, snapshot)


class Documents:
    def __init__(
        self,
        reader: Reader,
        feed: Feed,
        discards: Discards,
        patience: Patience,
        indexes: Indexes,
        balance: Balance,
        page_events: int,
        findings: Findings,
    ) -> None:
        self._reader = reader
        self._feed = feed
        self._discards = discards
        self._patience = patience
        self._indexes = indexes
        self._balance = balance
        self._page_events = page_events
        self._findings = findings

    async def check(self, partition: int) -> None:
        """Compares all keys of a partition. Those that come meanwhile may be left out."""
        done = ""
        fetching = asyncio.ensure_future(self._fetch(partition, None))
        try:
            while True:
                page = await fetching
                keys = _by_key(page, done)
                is_last = len(page) < self._page_events
                large = None if is_last or not keys else page[-1].partition_key
                if large is not None and len(keys) > 1:
                    # It goes on behind the page: the next one begins with it.
                    after, large = keys.pop(large).before, None
                else:
                    after = page[-1].id if page else None
                if large is not None:
                    after = await self._look_again(partition, large, keys.pop(large).before, self._page_events)
                    await self._indexes.check_documents_of([large])
                if not is_last:
                    fetching = asyncio.ensure_future(self._fetch(partition, after))
                await self._compare(partition, keys)
                self._findings.seen(events=sum(len(key.events) for key in keys.values()))
                if is_last:
                    return
                done = large or next(reversed(keys), done)
        finally:
            await end(fetching)

    async def _fetch(self, partition: int, after: str | None) -> list[RecordedEvent]:
        return await self._feed.partition_events(partition, after, self._page_events)

    async def _compare(self, partition: int, keys: dict[str, _Key]) -> None:
        batch = gather((e for key in keys.values() for e in key.events), self._reader.generation, self._discards.ids)
        if not batch.facts:
            return
        suspicious, unindexed = await self._at_first_sight(batch)
        for name in suspicious:
            key = keys[name]
            await self._look_again(partition, name, key.before, min(self._page_events, len(key.events) + 10))
        await self._indexes.check_documents_of(unindexed)

    async def _look_again(self, partition: int, name: str, before: str | None, page_events: int) -> str | None:
        """Tells how a key differs, if it does; returns the id of its last event."""
        key = OneKey(
            self._reader,
            self._feed,
            self._discards,
            self._patience,
            self._balance,
            partition,
            name,
            before,
            page_events,
        )
        for problem in await self._patience.insist(partition, key.look):
            self._findings.differs(problem.text)
        self._findings.seen(events=key.events)
        return key.last

    async def _at_first_sight(self, batch: Batch) -> tuple[list[str], list[str]]:
        """The partition keys that do not agree with Redis, and those whose index entries don't or can't be told yet.

        All others are as the log says, and are booked as such.
        """
        expected = {key: _Expected(self._reader, its) for key, its in batch.facts.items()}
        snapshot = await self._reader.snapshot(
            streams=batch.streams,
            documents=distinct(key for one in expected.values() for key in (*one.documents, *one.pointers)),
            histories=distinct(key for one in expected.values() for key in one.histories),
            parked=list(expected),
            members=by_index(one.entries for one in expected.values()),
        )
        suspicious: list[str] = []
        unindexed: list[str] = []
        alerts: dict[bytes, str] = {}
        for key, one in expected.items():
            is_level = one.is_level(snapshot)
            folded = one.folded if is_level else _fold(self._reader, one.facts, snapshot)
            alerts |= dict.fromkeys(folded.alerts, key)
            differs = comparing.versions(one.facts, snapshot) or comparing.contents(
                folded, snapshot, one.documents, one.histories
            )
            if differs:
                suspicious.append(key)
            else:
                self._balance.expect(snapshot.there(self._reader.generation, one.streams, one.documents, one.histories))
            if is_level and not differs and one.is_indexed(snapshot):
                self._indexes.book(one.entries)
            else:
                unindexed.append(key)
        lacking = await self._reader.lacking_alerts(list(alerts))
        return distinct((*suspicious, *(alerts[alert] for alert in lacking))), unindexed


def _fold(reader: Reader, facts: Iterable[Fact], snapshot: Snapshot | None = None) -> Folded:
    """All facts, or those that had been applied at some moment."""
    folded = Folded(reader.generation)
    for fact in facts:
        if snapshot is None or fact.recorded.version <= snapshot.versions[fact.recorded.stream_id]:
            folded.add(fact)
    return folded


def _entries(folded: Folded) -> Entries | None:
    """None where they can't be made: then the key is parked before, or it can't be as the log says."""
    try:
        return folded.entries()
    except Exception:
        return None


def _by_key(page: Sequence[RecordedEvent], done: str) -> dict[str, _Key]:
    """A page's events by partition key, in its order; without the newest ones of the key that is done already."""
    keys: dict[str, _Key] = {}
    before: str | None = None
    for event in page:
        if event.partition_key != done:
            keys.setdefault(event.partition_key, _Key(before)).events.append(event)
        before = event.id
    return keys
