"""Search by words. Four ways lead to the same list; the cheapest is taken, and each page may take another.

A position is always that of the list's own sort, (sort key, id), so a cursor serves whichever way comes next:

1. newest first, by merging the index ranges of the words that begin with the prefix: reads one page;
2. few candidates: all of them are read, judged and sorted;
3. newest first, more candidates of too many words: all are looked at for the newest ones, a stretch at a time;
4. many: the sort's own index is walked and its products are judged, a bounded number a page.
"""

from collections.abc import Callable, Sequence
from heapq import nsmallest
from typing import Final

import orjson

from contracts.documents import ProductDisplay, sendable
from contracts.keys import Generation, Listing, member_id, sort_member
from query_service.paging import EXAMINED, Page, read_page, sources_of
from query_service.products.filters import ProductFilter, ProductsQuery
from query_service.products.listing import document_prefix, stretch_of
from query_service.read_model.demand import Demand
from query_service.read_model.reading import ReadModel
from query_service.read_model.scripts import Script

FEW: Final = 1000
"""So many candidates are read and sorted; a prefix with more is not listed."""

MERGED: Final = 32
"""So many distinct words are merged."""

GATHERED: Final = 20_000
"""So many candidates are looked at for the newest ones. Of a million products a walk would meet one in fifty."""

STRETCH: Final = 2000
"""So many of them at once: Redis serves nobody else meanwhile."""

CANDIDATES: Final = Script("candidates.lua")
NEWEST: Final = Script("newest.lua")
NEXT_STRETCH: Final = Script("stretch.lua")

Row = tuple[bytes, bytes]
"""A member of the sort's index, and the body of its document."""


async def search_products(read_model: ReadModel, query: ProductsQuery, after: bytes | None, demand: Demand) -> Page:
    """The page behind `after` of the products with every word searched for, and every other filter."""
    return await _Search(read_model, query, after, demand).page()


class _Search:
    def __init__(self, read_model: ReadModel, query: ProductsQuery, after: bytes | None, demand: Demand) -> None:
        self._read_model = read_model
        self._query = query
        self._after = after or b""
        self._demand = demand
        self._filter: ProductFilter = query.filter()
        self._newest_first = query.sort == "-created_at"

    async def page(self) -> Page:
        words = self._filter.words
        alone = len(words) == 1 and not self._filter.beyond_search()
        if alone and self._newest_first and (page := await self._merged(words[0], self._query.limit, alone)):
            return page
        counts, listed = await self._candidates(words)
        if listed:
            return await self._few(set.intersection(*listed))
        rarest = words[counts.index(min(counts))]
        if self._newest_first and not alone and (page := await self._merged(rarest, EXAMINED, alone)):
            return page
        if self._newest_first and min(counts) <= GATHERED:
            return await self._gathered(rarest, EXAMINED)
        stretch = stretch_of(self._query)
        after = self._after or None
        return await read_page(
            self._read_model, stretch, after, self._query.limit, self._demand, self._filter.accepts_body
        )

    async def _candidates(self, words: Sequence[str]) -> tuple[list[int], list[set[bytes]]]:
        """How many index members begin with each word; and those that do, of the words with few."""
        answer = await self._read_model.run(CANDIDATES, self._indexes, lambda _: [FEW, *words], self._demand)
        counts, found = answer[::2], answer[1::2]
        return counts, [set(members) for count, members in zip(counts, found, strict=True) if count <= FEW]

    async def _few(self, candidates: set[bytes]) -> Page:
        """Of candidates (created, id), those behind the position that fit."""
        if self._newest_first:
            # They are positions of the list already, so only those of the page need reading.
            ahead = sorted(member for member in candidates if member > self._after)
            return await self._fill(ahead, more=False)
        rows = [row for row in await self._rows(list(candidates)) if row[0] > self._after]
        rows.sort()
        page = rows[: self._query.limit]
        return Page([body for _, body in page], page[-1][0] if len(rows) > len(page) else None)

    async def _merged(self, prefix: str, count: int, alone: bool) -> Page | None:
        """By merging, from `count` candidates; None where the prefix begins too many words for it.

        Where the prefix is all that is asked (`alone`), what is merged is the page, documents and all.
        """

        def arguments(generation: Generation) -> list[str | bytes | int]:
            return [prefix, self._after, count, MERGED, document_prefix(generation) if alone else ""]

        kind, *found = await self._read_model.run(NEWEST, self._indexes, arguments, self._demand)
        if kind == b"many":
            return None
        if kind == b"page":
            members, documents = found
            items = [document[1] for document in map(sendable, documents) if document is not None]
            sources = sources_of(self._indexes, document_prefix, members[:count])
            return Page(items, members[count - 1] if len(members) > count else None, sources=sources)
        ahead = sorted({member for members in found for member in members})
        # Behind the first `count`, a range that was cut off may lack members.
        return await self._fill(ahead[:count], more=len(ahead) > count)

    async def _gathered(self, prefix: str, count: int) -> Page:
        """From the newest `count` candidates behind the position, of all that there are."""
        newest: list[bytes] = []
        for listing in self._query.listings:
            low = b"[" + prefix.encode()
            while True:
                members = await self._stretch(listing, low, prefix)
                found = {member.partition(b"\0")[2] for member in members}.union(newest)
                newest = nsmallest(count + 1, (member for member in found if member > self._after))
                if len(members) < STRETCH:
                    break
                low = b"(" + members[-1]
        return await self._fill(newest[:count], more=len(newest) > count)

    async def _stretch(self, listing: Listing, low: bytes, prefix: str) -> list[bytes]:
        answer = await self._read_model.run(
            NEXT_STRETCH, lambda g: [g.words(listing)], lambda _: [low, prefix, STRETCH], self._demand
        )
        members: list[bytes] = answer[0]
        return members

    async def _fill(self, ahead: list[bytes], more: bool) -> Page:
        """The first `limit` of ordered candidates that fit; `more` says that others follow the last."""
        items: list[bytes] = []
        at, step = 0, self._query.limit
        while at < len(ahead):
            members = ahead[at : at + step]
            fitting = dict(await self._rows(members))
            for n, member in enumerate(members, at + 1):
                if member in fitting:
                    items.append(fitting[member])
                    if len(items) == self._query.limit:
                        return Page(items, member if more or n < len(ahead) else None)
            at += step
            step *= 2
        return Page(items, ahead[-1] if more else None)

    async def _rows(self, candidates: Sequence[bytes]) -> list[Row]:
        """Those candidates whose documents fit, by their place in the list's sort."""
        if not candidates:
            return []
        ids = [member_id(candidate) for candidate in candidates]
        values = await self._read_model.lookup(lambda g: [g.product(one) for one in ids], self._demand)
        rows = []
        for candidate, document in zip(candidates, map(sendable, values), strict=True):
            if document is not None and self._filter.accepts(fields := orjson.loads(document[1])):
                place = candidate if self._newest_first else sort_member(self._query.sort, ProductDisplay(**fields))
                rows.append((place, document[1]))
        return rows

    @property
    def _indexes(self) -> Callable[[Generation], list[str]]:
        return lambda generation: [generation.words(listing) for listing in self._query.listings]
