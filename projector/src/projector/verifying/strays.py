"""Goes through all keys of a generation, and all in them: each must be one that the log gives reason for.

Most are just weighed against those that were expected. What does not balance is looked at by itself.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from itertools import islice
from typing import Any, Final

from redis.asyncio.client import Pipeline

from contracts import streams
from contracts.keys import Generation
from projector.feed import Feed, Refused
from projector.verifying.balance import Balance
from projector.verifying.findings import Findings
from projector.verifying.indexes import INDEXED, NAMED_BY, Indexes, Member, kind_of
from projector.verifying.reading import Reader, execute
from projector.verifying.sums import Sums

_MOST_STREAMS: Final = 1_000
"""That the log is asked for at once."""

_SMALL: Final = 20
"""Entries that most hashes and sorted sets have at most: of so many fewer keys the contents are read at once."""

# Kinds that no key can claim to be of: what stands before a colon has none.
_FIXED: Final = ":fixed"
_UNREADABLE: Final = ":unreadable"
_REPLACED: Final = "\N{REPLACEMENT CHARACTER}"

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
        balance: Balance,
        page: int,
        findings: Findings,
    ) -> None:
        self._redis = reader.redis
        self._generation = reader.generation
        self._feed = feed
        self._indexes = indexes
        self._sums = sums
        self._balance = balance
        self._page = page
        self._findings = findings
        self._fixed = _fixed(reader.generation, partitions)

    async def check(self) -> None:
        """Looks at every key that is there all the time; those that come meanwhile may be left out."""
        async for keys in self._pages():
            await self._weigh(self._by_kind(keys))
            self._findings.seen(keys=len(keys))
        if not self._balance.is_even:
            async for keys in self._pages():
                await self._look_closely(self._by_kind(keys))
        async with aclosing(self._contents([self._generation.categories], Pipeline.hscan)) as pages:
            async for _, counts in pages:
                await self._indexes.check_categories(list(counts or ()))

    async def _pages(self) -> AsyncGenerator[list[bytes], None]:
        cursor = -1
        while cursor != 0:
            answer: Any = await self._redis.scan(max(cursor, 0), match=f"{self._generation.prefix}*", count=self._page)
            cursor, keys = answer
            yield keys

    def _by_kind(self, names: Sequence[bytes]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name in names:
            key = name.decode(errors="replace")
            if key in self._fixed:
                kind = _FIXED
            elif _REPLACED in key and key.encode() != name:
                kind = _UNREADABLE
            else:
                kind = kind_of(self._generation, key)
            found.setdefault(kind, []).append(key)
        return found

    async def _weigh(self, by_kind: dict[str, list[str]]) -> None:
        """Books what is found, and looks at once at that which nobody expects by its name."""
        for kind, keys in by_kind.items():
            if kind == _FIXED:
                await self._known(keys)
            elif kind == _UNREADABLE:
                self._tell_no_key(keys)
            elif kind in NAMED_BY:
                await self._check_categories_of(keys)
                await self._weigh_indexes(keys)
            elif kind in _SUMS:
                await self._check_sums(kind, keys)
            else:
                self._balance.find(keys)

    async def _weigh_indexes(self, keys: Sequence[str]) -> None:
        async with aclosing(self._contents(keys, Pipeline.zscan)) as pages:
            async for key, scored in pages:
                if scored is None:
                    self._balance.find([key])
                else:
                    self._balance.find((key, member, score) for member, score in scored)
                    self._findings.seen(members=len(scored))

    async def _look_closely(self, by_kind: dict[str, list[str]]) -> None:
        """Looks one by one at what is uneven."""
        named = [key for kind, keys in by_kind.items() if kind not in (_FIXED, _UNREADABLE) for key in keys]
        uneven: dict[str, list[str]] = {}
        for key in await self._known([key for key in named if not self._balance.is_even_for(key)]):
            uneven.setdefault(kind_of(self._generation, key), []).append(key)
        for kind, keys in uneven.items():
            if kind in _OWNERS:
                await self._check_owners(keys)
            if kind in INDEXED:
                await self._indexes.check_documents(keys)
            elif kind == "sku":
                await self._indexes.check_pointers(keys)
        indexes = [key for kind in NAMED_BY for key in by_kind.get(kind, ())]
        async with aclosing(self._contents(indexes, Pipeline.zscan)) as pages:
            async for key, scored in pages:
                entries = [Member(key, member, score) for member, score in scored or ()]
                await self._indexes.check_members([one for one in entries if not self._balance.is_even_for(one.name)])

    async def _known(self, keys: Sequence[str]) -> list[str]:
        """Those that are of the type that the read model has there. Tells the others."""
        together = self._redis.pipeline(transaction=False)
        for key in keys:
            together.type(key)
        known: list[str] = []
        for key, kept_as in zip(keys, await execute(together), strict=True):
            wanted = self._fixed.get(key) or _TYPES.get(kind_of(self._generation, key))
            if kept_as == wanted:
                known.append(key)
            elif wanted is None and kept_as != b"none":
                self._tell_no_key([key])
            elif wanted is not None and kept_as != b"none":
                self._findings.differs(f"{key} is no {wanted.decode()}")
        return known

    def _tell_no_key(self, keys: Sequence[str]) -> None:
        for key in keys:
            self._findings.differs(f"{key} is no key of a read model")

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

    async def _check_categories_of(self, indexes: Sequence[str]) -> None:
        """Those categories that are not listed at all; the others are compared with their indexes in the end."""
        found = (self._indexes.category_of(index) for index in indexes)
        categories = [category for category in found if category is not None]
        if categories:
            together = self._redis.pipeline(transaction=False)
            together.hmget(self._generation.categories, categories)
            (counts,) = await execute(together)
            counted = dict(zip(categories, counts or (), strict=False))
            await self._indexes.check_categories([each for each in categories if counted.get(each) is None])

    async def _check_sums(self, kind: str, keys: Sequence[str]) -> None:
        """Those that the log has are compared already; of others it may have heard since."""
        async with aclosing(self._contents(keys, Pipeline.hscan if kind == "sales" else Pipeline.zscan)) as pages:
            async for key, found in pages:
                if found is None:
                    self._balance.find([key])
                    continue
                names = found if isinstance(found, dict) else [member for member, _ in found]
                await self._sums.compare([(key, name) for name in names if not self._sums.is_expected((key, name))])

    async def _contents(self, keys: Sequence[str], scan: Callable[..., Any]) -> AsyncGenerator[tuple[str, Any], None]:
        """Everything in these hashes or sorted sets, some of each at a time; None of what is none of them."""
        cursors = dict.fromkeys(keys, 0)
        while cursors:
            some = list(islice(cursors.items(), 1 + self._page // _SMALL))
            together = self._redis.pipeline(transaction=False)
            for key, cursor in some:
                scan(together, key, cursor, count=self._page)
            for (key, _), answer in zip(some, await execute(together), strict=True):
                cursor, contents = answer or (0, None)
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
