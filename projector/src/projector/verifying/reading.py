"""Reads what belongs together in one transaction, so that it is compared as it stood at one moment."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import ResponseError

from contracts.keys import READ_MODEL, Generation
from projector import parking
from projector.parking import Parked


class NotWhole(Exception):
    """The generation's marker is absent, or that of other code: there is nothing that could be compared."""


@dataclass(slots=True)
class Snapshot:
    """One moment. `applied` is the highest applied position of each partition that was asked for."""

    applied: list[int]
    versions: dict[str, int] = field(default_factory=dict)
    documents: dict[str, bytes | None] = field(default_factory=dict)
    histories: dict[str, list[bytes]] = field(default_factory=dict)
    parked: dict[str, Parked] = field(default_factory=dict)
    scores: dict[tuple[str, bytes], float | None] = field(default_factory=dict)
    """(sorted set, member) → its score; None of one that is not there."""

    def there(
        self, generation: Generation, streams: Iterable[str], documents: Iterable[str], histories: Iterable[str] = ()
    ) -> Iterator[str]:
        """The keys of those that were read and there."""
        for stream in streams:
            if self.versions[stream]:
                yield generation.version(stream)
        for key in documents:
            if self.documents[key] is not None:
                yield key
        for key in histories:
            if self.histories[key]:
                yield key

    def may_wait(self, partition_key: str, stream: str) -> bool:
        """Whether events of the stream may be left out because their key is parked."""
        record = self.parked.get(partition_key)
        return record is not None and record.may_wait(stream)


class Reader:
    def __init__(self, redis: Redis, generation: Generation) -> None:
        self.redis = redis
        self.generation = generation

    async def snapshot(
        self,
        partitions: Sequence[int] = (),
        *,
        streams: Sequence[str] = (),
        documents: Sequence[str] = (),
        histories: Sequence[str] = (),
        parked: Sequence[str] = (),
        members: Mapping[str, Sequence[bytes]] | None = None,
    ) -> Snapshot:
        """The versions of streams, documents and histories by their keys, the records of partition keys, and the scores
        of members of sorted sets.

        Raises:
            NotWhole: the generation is not whole at this moment.
        """
        applied = [self.generation.applied(p) for p in partitions]
        together = self.redis.pipeline(transaction=True)
        together.mget([self.generation.complete, *applied, *map(self.generation.version, streams), *documents])
        if parked:
            together.hmget(self.generation.parked, list(parked))
        for history in histories:
            together.zrange(history, 0, -1)
        members = members or {}
        for key, its in members.items():
            together.zmscore(key, its)  # type: ignore[arg-type]
        values, *rest = await execute(together)
        refuse_unless_whole(self.generation, values[0])
        after_applied = 1 + len(applied)
        after_versions = after_applied + len(streams)
        records = rest.pop(0) if parked else []
        return Snapshot(
            [position_of(value) for value in values[1:after_applied]],
            {s: number(v) for s, v in zip(streams, values[after_applied:after_versions], strict=True)},
            dict(zip(documents, values[after_versions:], strict=True)),
            {history: entries or [] for history, entries in zip(histories, rest, strict=False)},
            {key: parking.decode(record) for key, record in zip(parked, records, strict=True) if record is not None},
            scores_of(members, rest[len(histories) :]),
        )

    async def lacking_alerts(self, alerts: Sequence[bytes]) -> list[bytes]:
        """Those of some alerts that are not there."""
        if not alerts:
            return []
        together = self.redis.pipeline(transaction=False)
        together.zmscore(self.generation.alerts, list(alerts))  # type: ignore[arg-type]
        (scores,) = await execute(together)
        return [one for one, score in zip(alerts, scores or [None] * len(alerts), strict=True) if score != 0]

    async def applied(self, partition: int) -> int:
        return (await self.snapshot([partition])).applied[0]


def refuse_unless_whole(generation: Generation, marker: bytes | None) -> None:
    """Raises `NotWhole` for any marker but that which this code writes."""
    if marker is None:
        raise NotWhole(f"generation {generation.number} is not whole: {generation.complete} is absent")
    if marker != str(READ_MODEL).encode():
        version = marker.decode(errors="replace")
        raise NotWhole(f"generation {generation.number} is of version {version} of the read model, not {READ_MODEL}")


def scores_of(members: Mapping[str, Sequence[bytes]], answers: Sequence[Any]) -> dict[tuple[str, bytes], float | None]:
    """By sorted set and member, from the answers to ZMSCORE."""
    return {
        (key, member): score
        for (key, its), scores in zip(members.items(), answers, strict=True)
        for member, score in zip(its, scores or repeat(None), strict=False)
    }


async def execute(pipeline: Pipeline) -> list[Any]:
    """The answers; None where a key is of another type than the command asks for, and so nothing of ours."""
    async with pipeline:
        answers = await pipeline.execute(raise_on_error=False)
    for answer in answers:
        if isinstance(answer, Exception) and not _is_wrong_type(answer):
            raise answer
    return [None if isinstance(answer, Exception) else answer for answer in answers]


def _is_wrong_type(error: Exception) -> bool:
    return isinstance(error, ResponseError) and str(error).startswith("WRONGTYPE")


def number(value: bytes | None) -> int:
    return int(value) if value is not None and value.isdigit() else 0


def position_of(value: bytes | None) -> int:
    return number(value.split()[0]) if value else 0


def distinct(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
