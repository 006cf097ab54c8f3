"""Compares documents, versions, histories and alerts with the log, partition by partition, key by key.

A key whose events fit into a page is folded up to the versions that Redis has, and compared with what Redis had at that
very moment: usually that is all. What does not agree at once, and what is larger, is looked at again by itself.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from chassis.tasks import end
from contracts.envelope import RecordedEvent
from projector.batch import Fact, gather
from projector.discards import Discards
from projector.feed import Feed
from projector.verifying import comparing
from projector.verifying.findings import Findings
from projector.verifying.folded import Folded, document_keys, history_keys
from projector.verifying.one_key import OneKey
from projector.verifying.patience import Patience
from projector.verifying.reading import Reader, distinct


@dataclass(slots=True)
class _Key:
    """All events that the log had of a partition key, and the id of the one that stands before them."""

    before: str | None
    events: list[RecordedEvent] = field(default_factory=list)


class Documents:
    def __init__(
        self,
        reader: Reader,
        feed: Feed,
        discards: Discards,
        patience: Patience,
        page_events: int,
        findings: Findings,
    ) -> None:
        self._reader = reader
        self._feed = feed
        self._discards = discards
        self._patience = patience
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
        for name in await self._suspicious(partition, batch.facts, batch.streams):
            key = keys[name]
            await self._look_again(partition, name, key.before, min(self._page_events, len(key.events) + 10))

    async def _look_again(self, partition: int, name: str, before: str | None, page_events: int) -> str | None:
        """Tells how a key differs, if it does; returns the id of its last event."""
        key = OneKey(self._reader, self._feed, self._discards, self._patience, partition, name, before, page_events)
        for problem in await self._patience.insist(partition, key.look):
            self._findings.differs(problem.text)
        self._findings.seen(events=key.events)
        return key.last

    async def _suspicious(self, partition: int, facts: dict[str, list[Fact]], streams: Sequence[str]) -> list[str]:
        """The partition keys that do not agree with Redis at first sight."""
        if not facts:
            return []
        generation = self._reader.generation
        documents = {key: distinct(document_keys(its, generation)) for key, its in facts.items()}
        histories = {key: distinct(history_keys(its, generation)) for key, its in facts.items()}
        snapshot = await self._reader.snapshot(
            streams=streams,
            documents=[key for keys in documents.values() for key in keys],
            histories=[key for keys in histories.values() for key in keys],
            parked=list(facts),
        )
        suspicious: list[str] = []
        alerts: dict[bytes, str] = {}
        for key, its in facts.items():
            folded = Folded(generation)
            for fact in its:
                if fact.recorded.version <= snapshot.versions[fact.recorded.stream_id]:
                    folded.add(fact)
            alerts |= dict.fromkeys(folded.alerts, key)
            if comparing.versions(its, snapshot) or comparing.contents(
                folded, snapshot, documents[key], histories[key]
            ):
                suspicious.append(key)
        lacking = await self._reader.lacking_alerts(list(alerts))
        return distinct((*suspicious, *(alerts[alert] for alert in lacking)))


def _by_key(page: Sequence[RecordedEvent], done: str) -> dict[str, _Key]:
    """A page's events by partition key, in its order; without the newest ones of the key that is done already."""
    keys: dict[str, _Key] = {}
    before: str | None = None
    for event in page:
        if event.partition_key != done:
            keys.setdefault(event.partition_key, _Key(before)).events.append(event)
        before = event.id
    return keys
