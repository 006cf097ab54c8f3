"""Goes through all keys of a generation: each must be one that the log gives reason for."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from itertools import islice
from typing import Any, Final

from redis.asyncio.client import Pipeline

from contracts import streams
from contracts.keys import Generation
from projector.feed import Feed, Refused
from projector.verifying.findings import Findings
from projector.verifying.indexes import INDEXED, NAMED_BY, Indexes, Member, kind_of
from projector.verifying.reading import Reader, execute
from projector.verifying.sums import Sums

_MOST_STREAMS: Final = 1_000
"""That the log is asked for at once."""

_SMALL: Final = 20
"""Entries that most hashes and sorted sets have at most: of so many fewer keys the contents are read at once."""

_Owners = Callable[[str], tuple[str, ...]]


def _of_product(product_id: str) -> tuple[str, ...]:
    return streams.product_stream(product_id), streams.inventory_stream(product_id)


def _of_order(order_id: str) -> tuple[str, ...]:
    return (streams.order_stream(order_id),)


def _of_rating(rest: str) -> tuple[str, ...]:
    product_id, _, user_id = rest.partition(":")
    return (streams.rating_stream(product_id, user_id),)


def _of_history(rest: str) -> tuple[str, ...]:
    kind, _, owner = rest.partition(":")
    return _of_order(owner) if kind == "order" else _of_product(owner)


_OWNERS: Final[dict[str, _Owners]] = {
    "version": lambda stream: (stream,),
    "product": _of_product,
    "inventory": _of_product,
    "rating": _of_rating,
    "order": _of_order,
    "ordersummary": _of_order,
    "history": _of_history,
}
"""Kind of key → the streams of which at least one must be in the log, from the rest of the key."""

_SUMS: Final = {"sales": b"hash", "boughtwith": b"zset"}

_TYPES: Final[dict[str, bytes]] = {
    **dict.fromkeys(_OWNERS, b"string"),
    "history": b"zset",
    "sku": b"string",
    **dict.fromkeys(NAMED_BY, b"zset"),
    **_SUMS,
}
"""Kind of key that has a name behind it → its type."""


class Strays:
    def __init__(
        self,
        reader: Reader,
        feed: Feed,
        partitions: int,
        indexes: Indexes,
        sums: Sums,
        page: int,
        findings: Findings,
    ) -> None:
        self._redis = reader.redis
        self._generation = reader.generation
        self._feed = feed
        self._indexes = indexes
        self._sums = sums
        self._page = page
        self._findings = findings
        self._fixed = _fixed(reader.generation, partitions)

    async def check(self) -> None:
        """Looks at every key that is there all the time; those that come meanwhile may be left out."""
        cursor = 0
        while True:
            answer: Any = await self._redis.scan(cursor, match=f"{self._generation.prefix}*", count=self._page)
            cursor, keys = answer
            await self._check(keys)
            self._findings.seen(keys=len(keys))
            if cursor == 0:
                break
        async with aclosing(self._contents([self._generation.categories], Pipeline.hscan)) as pages:
            async for _, counts in pages:
                await self._indexes.check_categories(list(counts))

    async def _check(self, keys: Sequence[bytes]) -> None:
        by_kind: dict[str, list[str]] = {}
        for key, kind in await self._kinds(keys):
            by_kind.setdefault(kind, []).append(key)
        for kind, its in by_kind.items():
            if kind in _OWNERS:
                await self._check_owners(its)
            if kind in INDEXED:
                await self._indexes.check_documents(its)
            elif kind in NAMED_BY:
                await self._check_index(its)
            elif kind in _SUMS:
                await self._check_sums(kind, its)
            elif kind == "sku":
                await self._indexes.check_pointers(its)

    async def _kinds(self, keys: Sequence[bytes]) -> list[tuple[str, str]]:
        """Each key that may belong to the read model, and of which kind it is."""
        together = self._redis.pipeline(transaction=False)
        for name in keys:
            together.type(name)
        known: list[tuple[str, str]] = []
        for name, kept_as in zip(keys, await execute(together), strict=True):
            key = name.decode(errors="replace")
            kind = kind_of(self._generation, key)
            wanted = self._fixed.get(key) or (_TYPES.get(kind) if key.encode() == name else None)
            if kept_as not in (wanted, b"none"):
                expected = wanted.decode() if wanted else "key of a read model"
                self._findings.differs(f"{key} is no {expected}")
            elif kept_as == wanted and key not in self._fixed:
                known.append((key, kind))
        return known

    async def _check_owners(self, keys: Sequence[str]) -> None:
        for key in await self._ownerless(keys):
            self._findings.differs(f"{key} is there, but the log knows nothing of it")

    async def _ownerless(self, keys: Sequence[str]) -> list[str]:
        """Those keys that are there although the log has none of their streams."""
        owners = {key: self._owners(key) for key in keys}
        wanted = iter([stream for its in owners.values() for stream in its])
        versions: dict[str, int] = {}
        while some := list(islice(wanted, _MOST_STREAMS)):
            versions |= zip(some, await self._versions(some), strict=True)
        return [key for key, its in owners.items() if not any(versions[stream] for stream in its)]

    async def _versions(self, names: list[str]) -> list[int]:
        """The log's versions of streams; 0 of what it says can't be the name of one."""
        try:
            return await self._feed.versions(names)
        except Refused:
            if len(names) == 1:
                return [0]
            middle = len(names) // 2
            return await self._versions(names[:middle]) + await self._versions(names[middle:])

    def _owners(self, key: str) -> tuple[str, ...]:
        kind, _, rest = key.removeprefix(self._generation.prefix).partition(":")
        return _OWNERS[kind](rest)

    async def _check_index(self, keys: Sequence[str]) -> None:
        for key in keys:
            category = self._indexes.category_of(key)
            if category is not None and not await self._redis.hexists(self._generation.categories, category):
                await self._indexes.check_categories([category])
        async with aclosing(self._contents(keys, Pipeline.zscan)) as pages:
            async for key, scored in pages:
                await self._indexes.check_members([Member(key, member, score) for member, score in scored])

    async def _check_sums(self, kind: str, keys: Sequence[str]) -> None:
        """Those that the log has are compared already; of others it may have heard since."""
        async with aclosing(self._contents(keys, Pipeline.hscan if kind == "sales" else Pipeline.zscan)) as pages:
            async for key, found in pages:
                names = found if isinstance(found, dict) else [member for member, _ in found]
                await self._sums.compare([(key, name) for name in names if not self._sums.is_expected((key, name))])

    async def _contents(self, keys: Sequence[str], scan: Callable[..., Any]) -> AsyncGenerator[tuple[str, Any], None]:
        """Everything in these hashes or sorted sets, some of each at a time."""
        cursors = dict.fromkeys(keys, 0)
        while cursors:
            some = list(islice(cursors.items(), 1 + self._page // _SMALL))
            together = self._redis.pipeline(transaction=False)
            for key, cursor in some:
                scan(together, key, cursor, count=self._page)
            for (key, _), answer in zip(some, await execute(together), strict=True):
                cursor, contents = answer or (0, [])
                if int(cursor):
                    cursors[key] = int(cursor)
                else:
                    del cursors[key]
                yield key, contents


def _fixed(generation: Generation, partitions: int) -> dict[str, bytes]:
    """The keys that there is one of, or one for each partition, and their types."""
    strings = [generation.complete, generation.schema, generation.checkpoint, generation.witness, generation.currency]
    strings.append(f"{generation.prefix}walk")
    for partition in range(partitions):
        strings += (generation.applied(partition), generation.parked_in(partition), generation.rebuild(partition))
    return {
        **dict.fromkeys(strings, b"string"),
        **dict.fromkeys((generation.parked, generation.categories), b"hash"),
        generation.alerts: b"zset",
    }
