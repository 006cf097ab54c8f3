"""Pages: rows of ordered lists, read in bounded steps; above all those of indexes with their documents."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from contracts.documents import sendable
from contracts.keys import Generation, member_id
from query_service.read_model.demand import Demand
from query_service.read_model.lookups import KeysOf
from query_service.read_model.reading import ReadModel
from query_service.read_model.scripts import Script

EXAMINED: Final = 500
"""How many rows a page that filters looks at, at most."""

_FIRST_STEP: Final = 50
_AFTER_ALL: Final = b"\xff" * 17  # behind any id, so behind every member with a given key

RANGE: Final = Script("range.lua")


@dataclass(frozen=True, slots=True)
class Page:
    """Documents ready to send, and the position of the last row looked at; None when nothing can follow."""

    items: list[bytes]
    position: bytes | None
    looked_at: Sequence[bytes] = ()
    """The positions of all rows that it came from, also of those that are not on it."""
    sources: KeysOf | None = None
    """All keys that it was read from: while none of them is written, it stays as it is. None: they are not told."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Part of a list: its indexes (merged by member), and the sort keys between which it lies, both included."""

    indexes: Callable[[Generation], Sequence[str]]
    documents: Callable[[Generation], str]
    """The prefix of the documents' keys."""
    lowest: bytes = b""
    highest: bytes | None = None


@dataclass(frozen=True, slots=True)
class Rows:
    """Positions in order, each with what is sent of it (None: nothing); and whether others follow the last one."""

    rows: Sequence[tuple[bytes, bytes | None]]
    more: bool


ReadRows = Callable[[bytes | None, int], Awaitable[Rows]]
"""Reads so many rows behind a position; None: from the start."""


async def read_page(
    read_model: ReadModel,
    stretch: Stretch,
    after: bytes | None,
    limit: int,
    demand: Demand,
    accepts: Callable[[bytes], bool] | None = None,
) -> Page:
    """The next `limit` documents of a stretch behind the position `after`; see `fill_page`."""
    page = await fill_page(lambda at, count: _read_rows(read_model, stretch, at, count, demand), after, limit, accepts)
    return replace(page, sources=sources_of(stretch.indexes, stretch.documents, page.looked_at))


def sources_of(
    indexes: KeysOf, documents: Callable[[Generation], str], members: Sequence[bytes]
) -> Callable[[Generation], list[str]]:
    """The keys of indexes, and of the documents of some members."""

    def sources(generation: Generation) -> list[str]:
        prefix = documents(generation)
        return [*indexes(generation), *(prefix + member_id(member) for member in members)]

    return sources


async def fill_page(
    read: ReadRows, after: bytes | None, limit: int, accepts: Callable[[bytes], bool] | None = None
) -> Page:
    """The next `limit` items behind the position `after`.

    Without a filter exactly `limit` rows (of each index) are read. With `accepts`, which judges an item by its bytes,
    up to `EXAMINED` rows are, and the page may be short although rows follow.
    """
    items: list[bytes] = []
    looked_at: list[bytes] = []
    left = limit if accepts is None else EXAMINED
    step = limit if accepts is None else max(_FIRST_STEP, 2 * limit)
    while True:
        found = await read(after, min(step, left))
        for n, (position, item) in enumerate(found.rows, 1):
            after = position
            looked_at.append(position)
            if item is not None and (accepts is None or accepts(item)):
                items.append(item)
                if len(items) == limit:
                    return Page(items, position if found.more or n < len(found.rows) else None, looked_at)
        left -= len(found.rows)
        if not found.more:
            return Page(items, None, looked_at)
        if left <= 0:
            return Page(items, after, looked_at)
        step *= 2


async def _read_rows(read_model: ReadModel, stretch: Stretch, after: bytes | None, count: int, demand: Demand) -> Rows:
    low = b"[" + stretch.lowest
    if after is not None and after >= stretch.lowest:
        low = b"(" + after
    high = b"+" if stretch.highest is None else b"[" + stretch.highest + _AFTER_ALL

    def arguments(generation: Generation) -> list[str | bytes | int]:
        return [stretch.documents(generation), count, *(len(stretch.indexes(generation)) * (low, high))]

    answer = await read_model.run(RANGE, stretch.indexes, arguments, demand)
    if len(answer) == 2:
        members, documents = answer
        return Rows(list(zip(members, map(_body, documents), strict=False)), len(members) > count)
    rows = [row for n in range(0, len(answer), 2) for row in zip(answer[n], map(_body, answer[n + 1]), strict=False)]
    rows.sort(key=lambda row: row[0])
    return Rows(rows[:count], len(rows) > count or any(len(members) > count for members in answer[::2]))


def _body(stored: bytes | None) -> bytes | None:
    document = sendable(stored)
    return None if document is None else document[1]
