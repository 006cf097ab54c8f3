"""The whole comparison of one generation with the log."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from redis.asyncio import Redis

from chassis.tasks import together
from contracts.keys import Generation
from projector import parking
from projector.discards import Discards
from projector.feed import Feed
from projector.verifying.balance import BUCKETS, Balance
from projector.verifying.documents import Documents
from projector.verifying.findings import Findings
from projector.verifying.indexes import Indexes
from projector.verifying.patience import PATIENCE, Patience
from projector.verifying.ranges import LogBehind
from projector.verifying.reading import NotWhole, Reader, execute, number
from projector.verifying.strays import Strays
from projector.verifying.sums import Sums

PAGE: Final = 1_000
"""Events, keys or members that are in hand at once: memory grows with this, and not with the shop."""


AT_ONCE: Final = 2
"""Partitions that are compared at the same time: one is folded while the servers work for the other."""


class Verification:
    """Folds the log and compares every document, index and sum of a generation with it, beside live traffic.

    What has not been applied yet is waited for, as long as its partition gets on; after so many seconds without, it is
    a difference. Parked keys are told, and must stand where they were parked; discarded events count without effect.
    """

    def __init__(
        self,
        redis: Redis,
        feed: Feed,
        generation: Generation,
        partitions: int,
        discards: frozenset[str],
        *,
        page: int = PAGE,
        patience: float = PATIENCE,
        buckets: int = BUCKETS,
        watch: Callable[[Findings], None] = lambda _: None,
    ) -> None:
        self._redis = redis
        self._feed = feed
        self._generation = generation
        self._partitions = partitions
        self._discards = discards
        self._page = page
        self._patience = patience
        self._buckets = buckets
        self._watch = watch
        self._free = asyncio.Semaphore(AT_ONCE)

    async def run(self, tell: Callable[[str], None]) -> int:
        """The number of differences, each told as one line; parked keys are told too, and don't count.

        Raises:
            FeedUnavailable, redis.exceptions.RedisError, OSError: the log or Redis can't be reached.
        """
        return (await self.findings(tell)).differences

    async def findings(self, tell: Callable[[str], None]) -> Findings:
        """As `run`, with all that was counted."""
        findings = Findings(tell, self._watch)
        try:
            await self._check(findings)
        except (NotWhole, LogBehind) as reason:
            findings.differs(str(reason))
        return findings

    async def _check(self, findings: Findings) -> None:
        reader = Reader(self._redis, self._generation)
        await self._check_currency(reader, findings)
        patience, discards = Patience(reader, self._patience), Discards(self._feed)
        discards.ids = self._discards
        balance = Balance(self._buckets)
        indexes = Indexes(reader, balance, findings)
        documents = Documents(reader, self._feed, discards, patience, indexes, balance, self._page, findings)
        await together(*(self._check_partition(documents, partition) for partition in range(self._partitions)))
        sums = Sums(reader, self._feed, self._partitions, discards, patience, self._page, findings)
        try:
            await sums.check()
            await Strays(reader, self._feed, self._partitions, indexes, sums, balance, self._page, findings).check()
        finally:
            sums.close()
        await self._check_parked(findings)
        await reader.snapshot()

    async def _check_partition(self, documents: Documents, partition: int) -> None:
        async with self._free:
            await documents.check(partition)

    async def _check_currency(self, reader: Reader, findings: Findings) -> None:
        key, currency = self._generation.currency, (await self._feed.system()).currency
        found = (await reader.snapshot(documents=[key])).documents[key]
        if found != currency.encode():
            findings.differs(f"{key} is {(found or b'nothing').decode(errors='replace')}, the shop's is {currency}")

    async def _check_parked(self, findings: Findings) -> None:
        """Tells the parked keys; the partitions count as many."""
        cursor: int | None = None
        while cursor != 0:
            answer: Any = await self._redis.hscan(self._generation.parked, cursor or 0, count=100)
            cursor, page = answer
            for key, record in page.items():
                findings.is_parked(f"{key.decode(errors='replace')}, {parking.decode(record).reason}")
        pipeline = self._redis.pipeline(transaction=True)
        pipeline.hlen(self._generation.parked)
        pipeline.mget([self._generation.parked_in(p) for p in range(self._partitions)])
        there, counted = await execute(pipeline)
        if there != sum(map(number, counted)):
            findings.differs(
                f"{self._generation.parked} has {there} keys, the partitions count {sum(map(number, counted))}"
            )
