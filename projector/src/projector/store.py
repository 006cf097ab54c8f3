"""Applies batches to the read model, each exactly once and as a whole.

A batch is read in one round trip, folded in memory, and written by one script that first checks that nothing it was
folded from has changed. Two projectors, or a projector and the walk, can't disturb each other: the slower one finds
its reading outdated, reads again and folds again.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import chain
from operator import attrgetter
from typing import Any

from redis.asyncio import Redis

from chassis.logging import get_logger
from contracts import documents
from contracts.envelope import RecordedEvent
from contracts.keys import APPLIED_CHANNEL, READ_MODEL, Generation, announcement
from projector import metrics
from projector.batch import Batch, gather
from projector.discards import Discards
from projector.folding import Changes, State, fold
from projector.parking import Redrive
from projector.script import CompareAndApply, Guard, Request, Verdict, mset
from projector.witness import identity

log = get_logger(__name__)


class GuardLost(Exception):
    """The generation is not whole, or the walk's lease is another's by now: nothing was written."""


class Superseded(Exception):
    """The key is not parked any more, or has left out more events since it was caught up: nothing was written."""


class Gap(Exception):
    """Streams whose next version has not come: nothing was written, and they must be healed first."""

    def __init__(self, streams: dict[str, int], versions: dict[str, int]) -> None:
        super().__init__(f"{len(streams)} streams have gaps")
        self.streams = streams
        """Stream → the version that came."""
        self.versions = {stream: versions.get(stream, 0) for stream in streams}
        """Stream → the version that is applied."""


class Store:
    """The read model of one generation, as the projector writes it."""

    def __init__(self, redis: Redis, generation: Generation, discards: Discards | None = None) -> None:
        self._redis = redis
        self._script = CompareAndApply(redis)
        self._discards = discards
        self._unchecked: dict[int, str] = {}
        self.generation = generation

    @property
    def whole(self) -> Guard:
        """The guard of a consumer: it applies only while the generation is whole."""
        return ((self.generation.complete, str(READ_MODEL)),)

    async def apply(
        self,
        partition: int,
        events: Sequence[RecordedEvent],
        guard: Guard,
        *,
        redrive: Redrive | None = None,
        unhealable: frozenset[str] = frozenset(),
    ) -> Changes:
        """Applies what is new of `events`, all of one partition, atomically with its announcement.

        Events that would keep Redis busy for too long are applied in several such steps, in the order of the log.

        Raises:
            GuardLost, Gap, Superseded: nothing was written (of the step that raised).
            redis.exceptions.RedisError, OSError: it may have been written or not; applying again is safe.
        """
        started = time.perf_counter()
        batch = gather(events, self.generation, self._discards.ids if self._discards else frozenset())
        while True:
            applied_before, parked_before, state = await self._read(partition, batch, guard, redrive)
            changes = fold(batch, state, self.generation, now=time.time(), redrive=redrive, unhealable=unhealable)
            if changes.gaps:
                raise Gap(changes.gaps, state.versions)
            if changes.is_too_much:
                return await self._apply_halves(partition, events, guard, redrive, unhealable)
            request = self._request(partition, batch, state, changes, applied_before, parked_before)
            if request is None:
                break
            request.guard = guard
            verdict = await self._script(request)
            if verdict is Verdict.APPLIED:
                self._note_first(partition, batch, state, changes)
                break
            if verdict is Verdict.GUARDED:
                raise GuardLost
            metrics.CONFLICTS.inc()
        _count(partition, batch, changes, time.perf_counter() - started)
        return changes

    @property
    def unchecked(self) -> dict[int, str]:
        """By partition, the identity of the first event that was applied since `checked` was told."""
        return dict(self._unchecked)

    def checked(self, identities: Mapping[int, str]) -> None:
        """These were found in the log."""
        self._unchecked = {p: known for p, known in self._unchecked.items() if identities.get(p) != known}

    def _note_first(self, partition: int, batch: Batch, state: State, changes: Changes) -> None:
        if changes.applied and partition not in self._unchecked:
            first = min(_applied(batch, state, changes), key=attrgetter("position"), default=None)
            if first is not None:
                self._unchecked[partition] = identity(first)

    async def _apply_halves(
        self,
        partition: int,
        events: Sequence[RecordedEvent],
        guard: Guard,
        redrive: Redrive | None,
        unhealable: frozenset[str],
    ) -> Changes:
        ordered = sorted(events, key=attrgetter("position"))
        middle = len(ordered) // 2
        not_last = replace(redrive, last=False) if redrive else None
        first = await self.apply(partition, ordered[:middle], guard, redrive=not_last, unhealable=unhealable)
        second = await self.apply(partition, ordered[middle:], guard, redrive=redrive, unhealable=unhealable)
        second.poisoned = first.poisoned + second.poisoned
        second.applied += first.applied
        second.ignored += first.ignored
        second.left_out += first.left_out
        return second

    async def _read(
        self, partition: int, batch: Batch, guard: Guard, redrive: Redrive | None
    ) -> tuple[bytes, bytes, State]:
        generation = self.generation
        document_keys = list(batch.documents)
        keys = [key for key, _ in guard]
        keys += (generation.applied(partition), generation.parked_in(partition))
        keys += map(generation.version, batch.streams)
        keys += document_keys
        values: list[Any] = await self._redis.mget(keys)
        for (_, expected), value in zip(guard, values, strict=False):
            if value is None or (expected and value != expected.encode()):
                raise GuardLost
        first = len(guard)
        applied_before, parked_before = values[first] or b"", values[first + 1] or b""
        first += 2
        last = first + len(batch.streams)
        versions = {s: int(v) for s, v in zip(batch.streams, values[first:last], strict=True) if v is not None}
        stored = {k: v for k, v in zip(document_keys, values[last:], strict=True) if v is not None}
        parked: dict[str, bytes] = {}
        if parked_before:
            parked = await self._read_parked([*batch.facts, *((redrive.partition_key,) if redrive else ())])
        if redrive is not None:
            record = parked.get(redrive.partition_key)
            if record is None or (redrive.last and record != redrive.record):
                raise Superseded
        return applied_before, parked_before, State(versions, stored, parked)

    async def _read_parked(self, keys: list[str]) -> dict[str, bytes]:
        records: list[Any] = await self._redis.hmget(self.generation.parked, keys)
        return {key: record for key, record in zip(keys, records, strict=True) if record is not None}

    def _request(
        self,
        partition: int,
        batch: Batch,
        state: State,
        changes: Changes,
        applied_before: bytes,
        parked_before: bytes,
    ) -> Request | None:
        """What to check and write; None when there is nothing to write."""
        generation = self.generation
        before, _, last, *_ = (*applied_before.split(), *(b"",) * 3)
        position = int(before or 0)
        if not (changes.versions or changes.parked or batch.last_position > position):
            return None
        applied = max(_applied(batch, state, changes), key=attrgetter("position"), default=None)
        known = identity(applied) if applied is not None and applied.position >= position else last.decode()
        position = max(position, batch.last_position)
        request = Request()
        request.values = [(generation.version(s), state.versions.get(s, "")) for s in changes.versions]
        request.values += (
            (generation.applied(partition), applied_before),
            (generation.parked_in(partition), parked_before),
        )
        request.revisions = [(key, documents.revision(state.documents.get(key))) for key in changes.documents]
        writes = [(generation.version(s), v) for s, v in changes.versions.items()]
        writes += (*changes.documents.items(), *changes.excerpts.items())  # type: ignore[arg-type]
        writes.append((generation.applied(partition), f"{position} {time.time():.3f} {known}".rstrip()))  # type: ignore[arg-type]
        request.increments = list(changes.tally.increments())
        request.commands = [mset(writes), *changes.index.commands(generation), *changes.journal.commands(generation)]
        if changes.parked:
            self._park(request, partition, state, changes, int(parked_before or 0))
        said = announcement(position, (*changes.documents, *changes.index.keys))
        request.commands.append(["PUBLISH", f"{APPLIED_CHANNEL}{partition}", said])
        return request

    def _park(self, request: Request, partition: int, state: State, changes: Changes, count: int) -> None:
        generation = self.generation
        for key, record in changes.parked.items():
            before = state.parked.get(key, b"")
            request.fields.append((generation.parked, key, before))
            if record is None:
                request.commands.append(["HDEL", generation.parked, key])
                count -= 1
            else:
                request.commands.append(["HSET", generation.parked, key, record.encoded])
                count += not before
        counter = generation.parked_in(partition)
        request.commands.append(["SET", counter, count] if count else ["DEL", counter])


def _applied(batch: Batch, state: State, changes: Changes) -> Iterator[RecordedEvent]:
    """The events of the batch that were applied."""
    for fact in chain.from_iterable(batch.facts.values()):
        stream = fact.recorded.stream_id
        if state.versions.get(stream, 0) < fact.recorded.version <= changes.versions.get(stream, 0):
            yield fact.recorded


def _count(partition: int, batch: Batch, changes: Changes, seconds: float) -> None:
    label = str(partition)
    metrics.APPLIED.labels(label).inc(changes.applied)
    metrics.IGNORED.inc(changes.ignored)
    metrics.LEFT_OUT.inc(changes.left_out)
    metrics.BATCH_EVENTS.observe(sum(map(len, batch.facts.values())))
    metrics.APPLY_SECONDS.observe(seconds)
    if changes.applied:
        metrics.LAG_SECONDS.labels(label).set(max(0.0, time.time() - _unix(batch.last_recorded_at)))
    for event_id, reason in changes.poisoned:
        log.error("event_parked_its_key", event_id=event_id, reason=reason, partition=partition)


def _unix(moment: str) -> float:
    try:
        return datetime.fromisoformat(moment).timestamp()
    except ValueError:
        return time.time()
