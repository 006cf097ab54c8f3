"""Looks at one partition key by itself: exactly, however much has happened to it, and while more happens.

What belongs to one stream is folded up to the version that Redis has of it, stream by stream. What the streams share
can't be: a product's million ratings don't have their versions at one moment. It is folded up to the position that its
partition had applied when the look began; then what the log has had since, up to the very moment that is compared.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from contracts.envelope import RecordedEvent
from projector.batch import Fact, gather
from projector.discards import Discards
from projector.feed import Feed
from projector.verifying import comparing
from projector.verifying.balance import Balance
from projector.verifying.findings import Problem
from projector.verifying.folded import OF_ONE_STREAM, OF_SEVERAL_STREAMS, Folded, document_keys, history_keys
from projector.verifying.patience import Patience
from projector.verifying.ranges import ranges
from projector.verifying.reading import Reader, Snapshot, distinct


class OneKey:
    """A partition key whose events stand in the log behind the event with id `before`, by stream and version."""

    def __init__(
        self,
        reader: Reader,
        feed: Feed,
        discards: Discards,
        patience: Patience,
        balance: Balance,
        partition: int,
        name: str,
        before: str | None,
        page_events: int,
    ) -> None:
        self._reader = reader
        self._generation = reader.generation
        self._feed = feed
        self._discards = discards
        self._patience = patience
        self._balance = balance
        self._partition = partition
        self._name = name
        self._before = before
        self._page_events = page_events
        self.last = before
        """The id of its last event, as of the last look."""
        self.events = 0
        """How many it had then."""
        self._is_booked = False

    async def look(self) -> list[Problem]:
        """What is not as the log says, at this time."""
        await self._discards.refresh()
        cut = await self._reader.applied(self._partition)
        shared = Folded(self._generation, OF_SEVERAL_STREAMS)
        documents: dict[str, None] = {}
        histories: dict[str, None] = {}
        problems: list[Problem] = []
        open_stream = ""
        self.events = 0
        async with aclosing(self._pages()) as pages:
            async for page in pages:
                facts = self._facts(page)
                documents |= dict.fromkeys(document_keys(facts, self._generation, OF_SEVERAL_STREAMS))
                histories |= dict.fromkeys(history_keys(facts, self._generation))
                found, versions = await self._look_at_streams(facts, open_stream, page[-1].stream_id)
                problems += found
                open_stream = page[-1].stream_id
                for fact in facts:
                    recorded = fact.recorded
                    if recorded.position <= cut and recorded.version <= versions[recorded.stream_id]:
                        shared.add(fact)
                problems += await self._look_at_alerts(shared)
                self.last = page[-1].id
                self.events += len(page)
        if open_stream:
            problems += await self._look_patiently(open_stream)
        problems += await self._look_at_shared(shared, cut, list(documents), list(histories))
        self._is_booked = True
        return problems

    async def _pages(self) -> AsyncGenerator[list[RecordedEvent], None]:
        after, begun = self._before, False
        while True:
            page = await self._feed.partition_events(self._partition, after, self._page_events)
            own = [event for event in page if event.partition_key == self._name]
            if own:
                begun = True
                yield own
            if len(page) < self._page_events or (begun and page[-1].partition_key != self._name):
                return
            after = page[-1].id

    def _facts(self, events: Sequence[RecordedEvent]) -> list[Fact]:
        return gather(events, self._generation, self._discards.ids).facts.get(self._name, [])

    async def _look_at_streams(
        self, facts: list[Fact], before: str, behind: str
    ) -> tuple[list[Problem], dict[str, int]]:
        """What is wrong with the streams that end in a page, and the versions of all that are in it.

        The stream `before` was the last of the page before; the stream `behind` may go on in the next.
        """
        by_stream: dict[str, list[Fact]] = {}
        for fact in facts:
            by_stream.setdefault(fact.recorded.stream_id, []).append(fact)
        snapshot = await self._reader.snapshot(
            streams=list(by_stream),
            documents=distinct(document_keys(facts, self._generation, OF_ONE_STREAM)),
            parked=[self._name],
        )
        self._book(snapshot, *self._of_streams([fact for fact in facts if fact.recorded.stream_id != before]))
        suspicious = [before] if before and before not in by_stream else []
        for stream, its in by_stream.items():
            # Only what is in the page from its first event to its last can be compared at once.
            if stream != behind and (its[0].recorded.version > 1 or self._problems(its, snapshot)):
                suspicious.append(stream)
        problems = []
        for stream in suspicious:
            problems += await self._look_patiently(stream)
        return problems, snapshot.versions

    def _of_streams(self, facts: Sequence[Fact]) -> tuple[list[str], list[str]]:
        """Their streams, and the documents that each belong to one of these."""
        streams = distinct(fact.recorded.stream_id for fact in facts)
        return streams, distinct(document_keys(facts, self._generation, OF_ONE_STREAM))

    def _book(
        self, snapshot: Snapshot, streams: Sequence[str], documents: Sequence[str], histories: Sequence[str] = ()
    ) -> None:
        """Of these the log knows. A second look would expect them twice."""
        if not self._is_booked:
            self._balance.expect(snapshot.there(self._generation, streams, documents, histories))

    def _problems(self, facts: list[Fact], snapshot: Snapshot) -> list[Problem]:
        folded = Folded(self._generation, OF_ONE_STREAM)
        for fact in facts:
            if fact.recorded.version <= snapshot.versions[fact.recorded.stream_id]:
                folded.add(fact)
        documents = distinct(document_keys(facts, self._generation, OF_ONE_STREAM))
        return comparing.versions(facts, snapshot) + comparing.contents(folded, snapshot, documents)

    async def _look_patiently(self, stream: str) -> list[Problem]:
        return await self._patience.insist(self._partition, lambda: self._look_at_stream(stream), again=0)

    async def _look_at_stream(self, stream: str) -> list[Problem]:
        """What is wrong with one stream's version and documents. The log is read on to where Redis is."""
        first = self._facts(await self._feed.stream(stream, 0, self._page_events))
        documents = distinct(document_keys(first, self._generation, OF_ONE_STREAM))
        snapshot = await self._reader.snapshot(streams=[stream], documents=documents, parked=[self._name])
        have, folded, missing = snapshot.versions[stream], Folded(self._generation, OF_ONE_STREAM), 0
        # Without documents of its own only its end matters.
        known = 0 if documents else max(have - 1, 0)
        while known <= have and (page := await self._feed.stream(stream, known, self._page_events)):
            for fact in self._facts(page):
                if fact.recorded.version <= have:
                    folded.add(fact)
                else:
                    missing = missing or fact.recorded.position
            known = page[-1].version
            if len(page) < self._page_events:
                break
        problems = comparing.contents(folded, snapshot, documents)
        if have > known or (missing and not snapshot.may_wait(self._name, stream)):
            (known,) = await self._feed.versions([stream])
            problems.append(comparing.version(stream, have, known, missing))
        return problems

    async def _look_at_alerts(self, folded: Folded) -> list[Problem]:
        lacking = await self._reader.lacking_alerts(folded.alerts)
        folded.alerts.clear()
        key = self._generation.alerts
        return [Problem(f"{key} lacks the alert of position {comparing.position_of_member(one)}") for one in lacking]

    async def _look_at_shared(
        self, shared: Folded, cut: int, documents: list[str], histories: list[str]
    ) -> list[Problem]:
        now = await self._reader.applied(self._partition)
        await self._read_on(shared, cut, now)
        snapshot = await self._reader.snapshot(
            [self._partition], documents=documents, histories=histories, parked=[self._name]
        )
        self._book(snapshot, (), documents, histories)
        await self._read_on(shared, now, snapshot.applied[0])
        return await self._look_at_alerts(shared) + comparing.contents(shared, snapshot, documents, histories)

    async def _read_on(self, shared: Folded, after: int, until: int) -> None:
        """Folds in what was applied of the key meanwhile: all, unless it is parked."""
        async with aclosing(ranges(self._feed, after, until, self._page_events, self._patience.seconds)) as parts:
            async for part in parts:
                facts = self._facts([event for event in part.events if event.partition_key == self._name])
                streams = distinct(fact.recorded.stream_id for fact in facts)
                snapshot = await self._reader.snapshot(streams=streams)
                for fact in facts:
                    if fact.recorded.version <= snapshot.versions[fact.recorded.stream_id]:
                        shared.add(fact)
