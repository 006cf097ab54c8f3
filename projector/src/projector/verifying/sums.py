"""Compares the sums over many orders with the log, exactly, while orders go on.

No sum can be read together with all that it was made from. But the positions that the partitions have applied can be
read in the same transaction: they say up to where the log must be added up to come to the very same sums. So a handful
of sums is read with these positions, what the log has had since the last handful is added, and then they are compared.
An event that is not applied although its position is passed, because its key is parked or it was lost, waits aside.
"""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

from contracts.topology import partition_of
from projector.batch import Fact, gather
from projector.discards import Discards
from projector.feed import Feed
from projector.verifying.alerts import Alerts
from projector.verifying.expected_sums import TALLIED, ExpectedSums, Name
from projector.verifying.findings import Findings
from projector.verifying.patience import LOOKS_AGAIN, Patience
from projector.verifying.ranges import Range, ranges
from projector.verifying.reading import Reader, distinct, execute, number, position_of, refuse_unless_whole

_TOLD: Final = TALLIED | {"StockRanOut", "StockRanLow"}
_PAUSE: Final = 0.02


@dataclass(frozen=True, slots=True)
class _Moment:
    """What Redis had at once: the positions applied, the versions of the streams that wait, and some sums."""

    applied: list[int]
    versions: dict[str, int]
    found: dict[Name, bytes | float | None]


class Sums:
    def __init__(
        self,
        reader: Reader,
        feed: Feed,
        partitions: int,
        discards: Discards,
        patience: Patience,
        page: int,
        findings: Findings,
    ) -> None:
        self._reader = reader
        self._feed = feed
        self._partitions = partitions
        self._discards = discards
        self._patience = patience
        self._page = page
        self._findings = findings
        self._alerts = Alerts(reader, partitions, findings)
        self._expected = ExpectedSums(reader.generation)
        self._until = 0
        """The position that the log was read to."""
        self._waiting: list[Fact] = []
        """Those before it that Redis had not applied yet: as many as it is behind."""

    def close(self) -> None:
        self._expected.close()

    async def check(self) -> None:
        """Compares all sums that the log has; others are found by their keys."""
        await self._read_on(await self._moment(()))
        for names in self._expected.pages(self._page):
            await self.compare(names)
        await self._alerts.check_newest(self._until)
        await self._read_on(await self._moment(()))

    def is_expected(self, name: Name) -> bool:
        return self._expected.get(name) is not None

    async def compare(self, names: Sequence[Name]) -> None:
        for _ in range(LOOKS_AGAIN):
            names = list(await self._differing(names))
            if not names:
                return
            await asyncio.sleep(_PAUSE)
        for (key, name), (found, expected) in (await self._differing(names)).items():
            text = f"{key} has {_shown(found)} for {name.decode(errors='replace')}, by the log it is {_shown(expected)}"
            self._findings.differs(text)

    async def _differing(self, names: Sequence[Name]) -> dict[Name, tuple[Any, int | None]]:
        if not names:
            return {}
        moment = await self._moment(names)
        await self._read_on(moment)
        differing: dict[Name, tuple[Any, int | None]] = {}
        for name, found in moment.found.items():
            expected = self._expected.get(name)
            if found != (str(expected).encode() if expected is not None and isinstance(found, bytes) else expected):
                differing[name] = found, expected
        return differing

    async def _moment(self, names: Sequence[Name]) -> _Moment:
        generation = self._reader.generation
        streams = distinct(fact.recorded.stream_id for fact in self._waiting)
        applied = [generation.applied(p) for p in range(self._partitions)]
        together = self._reader.redis.pipeline(transaction=True)
        together.mget([generation.complete, *applied, *map(generation.version, streams)])
        by_key: dict[str, list[bytes]] = {}
        for key, name in names:
            by_key.setdefault(key, []).append(name)
        for key, members in by_key.items():
            if key.startswith(generation.bought_with("")):
                together.zmscore(key, members)  # type: ignore[arg-type]
            else:
                together.hmget(key, members)
        values, *sums = await execute(together)
        refuse_unless_whole(generation, values[0])
        first = 1 + self._partitions
        found: dict[Name, bytes | float | None] = {}
        for (key, members), answers in zip(by_key.items(), sums, strict=True):
            for member, answer in zip(members, answers or [None] * len(members), strict=True):
                found[key, member] = answer
        versions = {stream: number(value) for stream, value in zip(streams, values[first:], strict=True)}
        return _Moment([position_of(value) for value in values[1:first]], versions, found)

    async def _read_on(self, moment: _Moment) -> None:
        """Brings what is expected to that moment."""
        waiting, self._waiting = self._waiting, []
        if waiting:
            await self._discards.refresh()
        for fact in waiting:
            self._count(fact, applied=fact.recorded.version <= moment.versions[fact.recorded.stream_id])
        async with aclosing(
            ranges(self._feed, self._until, max(moment.applied), self._page, self._patience.seconds)
        ) as parts:
            async for part in parts:
                await self._take(part, moment.applied)
                self._until = part.until
        self._expected.flush()

    async def _take(self, part: Range, applied: Sequence[int]) -> None:
        events = [event for event in part.events if event.type in _TOLD]
        batch = gather(events, self._reader.generation, self._discards.ids)
        facts = [fact for its in batch.facts.values() for fact in its]
        await self._alerts.check(part, facts)
        versions = (await self._reader.snapshot(streams=batch.streams)).versions
        for fact in facts:
            if fact.recorded.type in TALLIED:
                recorded = fact.recorded
                passed = recorded.position <= applied[partition_of(recorded.partition_key, self._partitions)]
                self._count(fact, applied=passed and recorded.version <= versions[recorded.stream_id])
        self._expected.flush()

    def _count(self, fact: Fact, *, applied: bool) -> None:
        if not applied:
            self._waiting.append(fact)
            return
        try:
            # It may have been discarded while it waited.
            if fact.recorded.id not in self._discards.ids:
                self._expected.count(fact)
        except Exception as error:
            self._findings.differs(f"{fact.recorded.id} counts as applied, but can't be counted: {error}")


def _shown(value: Any) -> str:
    match value:
        case None:
            return "nothing"
        case bytes():
            return value.decode(errors="replace")
        case _:
            return f"{value:g}" if isinstance(value, float) and not value.is_integer() else str(int(value))
