"""Compares the indexes with the documents as they stand: every entry of a document is there, and no other.

That the documents are those of the log is another matter. What is suspicious at first sight is read again together with
its document, in one transaction, and so is a difference or none. Entries that are right are booked as expected.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from contracts import documents
from contracts.documents import OrderDetails, ProductDisplay, ProductInventory
from contracts.keys import ID_BYTES, LISTED, SORTS, Generation, member_id
from projector.projections.indexing import NO_ENTRIES, Entries
from projector.projections.views import VIEWS, View
from projector.verifying.balance import Balance
from projector.verifying.findings import Findings
from projector.verifying.folded import merged
from projector.verifying.reading import Reader, Snapshot, distinct, execute, scores_of

_VIEWS: Final[dict[str, View[Any]]] = {
    kind: next(view for view in VIEWS if view.document is document)
    for kind, document in (("product", ProductDisplay), ("inventory", ProductInventory), ("order", OrderDetails))
}
INDEXED: Final = frozenset(_VIEWS)
"""The kinds of documents that indexes name."""

NAMED_BY: Final = {"products": "product", "words": "product", "stock": "inventory", "orders": "order"}
"""Kind of index → kind of document that its members name."""

_MOST_KEYS: Final = 300
"""Whose documents are looked at at once."""


@dataclass(frozen=True, slots=True)
class Member:
    key: str
    member: bytes
    score: float

    @property
    def name(self) -> Hashable:
        """By which it is booked; that of an entry has no score but 0."""
        return self.key, self.member, self.score

    def document(self, generation: Generation) -> str | None:
        """The key of the document that it names."""
        if len(self.member) < ID_BYTES:
            return None
        kind = NAMED_BY[kind_of(generation, self.key)]
        return f"{generation.prefix}{kind}:{member_id(self.member)}"


class Indexes:
    def __init__(self, reader: Reader, balance: Balance, findings: Findings) -> None:
        self._redis = reader.redis
        self._generation = reader.generation
        self._balance = balance
        self._findings = findings
        self._facets = {kind: list(view.facets) for kind, view in _VIEWS.items()}

    def book(self, entries: Entries) -> None:
        """Entries of a document that were found, and its pointers, that were right."""
        self._findings.seen(members=len(entries.members))
        self._balance.expect((index, member, 0) for index, member in entries.members)
        self._balance.expect(pointer for pointer, _ in entries.pointers)

    async def check_documents_of(self, partition_keys: Sequence[str]) -> None:
        """As `check_documents`, of all that indexes may name of these partition keys."""
        prefix = self._generation.prefix
        for start in range(0, len(partition_keys), _MOST_KEYS):
            some = partition_keys[start : start + _MOST_KEYS]
            await self.check_documents([f"{prefix}{kind}:{key}" for key in some for kind in _VIEWS])

    async def check_documents(self, keys: Sequence[str]) -> None:
        """Every entry of these documents is there."""
        stored: list[Any] = await self._redis.mget(keys)
        expected = {key: self._entries(key, document) for key, document in zip(keys, stored, strict=True)}
        while expected:
            expected = await self._unsettled(expected)

    async def _unsettled(self, expected: dict[str, Entries]) -> dict[str, Entries]:
        """Tells what is lacking, but of documents that have changed meanwhile: these are to be looked at again."""
        members = by_index(expected.values())
        pointers = distinct(pointer for entries in expected.values() for pointer, _ in entries.pointers)
        together = self._redis.pipeline(transaction=True)
        together.mget([*expected, *pointers])
        for index, its in members.items():
            together.zmscore(index, its)  # type: ignore[arg-type]
        values, *answers = await execute(together)
        scores = scores_of(members, answers)
        held = dict(zip(pointers, values[len(expected) :], strict=True))
        unsettled: dict[str, Entries] = {}
        for (key, entries), document in zip(expected.items(), values, strict=False):
            if (now := self._entries(key, document)) != entries:
                unsettled[key] = now
                continue
            lacking = {entry for entry in entries.members if scores[entry] is None}
            wrong = {(pointer, holder) for pointer, holder in entries.pointers if held[pointer] != holder.encode()}
            for index in sorted(index for index, _ in lacking):
                self._findings.differs(f"{index} lacks an entry of {key}")
            for pointer, _ in wrong:
                self._findings.differs(f"{pointer} does not point to {key}")
            self.book(Entries(entries.members - lacking, entries.pointers - wrong))
        return unsettled

    async def check_members(self, members: Sequence[Member]) -> None:
        """Each is an entry of the document that it names."""
        named = {m: m.document(self._generation) for m in members}
        stored = await self._stored(named.values())
        shown = {key: self._shown(key, value) for key, value in stored.items()}
        suspicious = [m for m in members if not self._is_entry(m, shown.get(named[m] or ""))]
        if suspicious:
            await self._check_again(suspicious)

    async def _stored(self, keys: Iterable[str | None]) -> dict[str, bytes | None]:
        wanted = distinct(key for key in keys if key is not None)
        values: list[Any] = await self._redis.mget(wanted) if wanted else []
        return dict(zip(wanted, values, strict=True))

    def _is_entry(self, one: Member, document: Any) -> bool:
        """Asks first the facet that the last one was of: an index has entries of one facet."""
        facets = self._facets[NAMED_BY[kind_of(self._generation, one.key)]]
        if document is None or one.score != 0:
            return False
        for place, facet in enumerate(facets):
            try:
                members = facet.entries(self._generation, document).members
            except Exception:
                return False
            if (one.key, one.member) in members:
                facets.insert(0, facets.pop(place))
                return True
        return False

    def _is_justified(self, one: Member, named: str | None, stored: dict[str, Entries]) -> bool:
        return named is not None and one.score == 0 and (one.key, one.member) in stored[named].members

    async def _check_again(self, suspicious: Sequence[Member]) -> None:
        named = {m: m.document(self._generation) for m in suspicious}
        wanted = distinct(key for key in named.values() if key is not None)
        together = self._redis.pipeline(transaction=True)
        together.mget([self._generation.complete, *wanted])
        for one in suspicious:
            together.zscore(one.key, one.member)
        (_, *values), *scores = await execute(together)
        stored = {key: self._entries(key, value) for key, value in zip(wanted, values, strict=True)}
        for one, score in zip(suspicious, scores, strict=True):
            if score is not None and not self._is_justified(one, named[one], stored):
                owner = f"is not of {named[one]}" if named[one] else "names no document"
                self._findings.differs(f"{one.key} has an entry that {owner}")

    async def check_pointers(self, keys: Sequence[str]) -> None:
        """Each points to a document that has it."""
        for key, product in await self._pointed(keys):
            together = self._redis.pipeline(transaction=True)
            together.mget([key, product])
            ((holder, document),) = await execute(together)
            entries = self._entries(product, document)
            if holder is not None and (key, holder.decode(errors="replace")) not in entries.pointers:
                self._findings.differs(f"{key} points to {product}, which does not have it")

    async def _pointed(self, keys: Sequence[str]) -> list[tuple[str, str]]:
        """Those pointers that look wrong, and the documents that they point to."""
        holders: list[Any] = await self._redis.mget(keys)
        there = [(k, h.decode(errors="replace")) for k, h in zip(keys, holders, strict=True) if h is not None]
        stored = await self._stored(self._generation.product(holder) for _, holder in there)
        pointed = [(key, holder, self._generation.product(holder)) for key, holder in there]
        return [
            (key, product)
            for key, holder, product in pointed
            if (key, holder) not in self._entries(product, stored[product]).pointers
        ]

    async def check_categories(self, categories: Sequence[bytes]) -> None:
        """Each counts as many products as its index has."""
        together = self._redis.pipeline(transaction=True)
        for category in categories:
            together.hget(self._generation.categories, category)
            together.zcard(self._category_index(category))
        answers = await execute(together)
        for category, counted, has in zip(categories, answers[::2], answers[1::2], strict=True):
            if (counted or b"0") != str(has or 0).encode():
                name, says = category.decode(errors="replace"), (counted or b"nothing").decode(errors="replace")
                self._findings.differs(f"{self._generation.categories} says {says} for {name}, which has {has or 0}")

    def _category_index(self, category: bytes) -> bytes:
        return self._generation.products(LISTED, SORTS[0], "").encode() + category

    def category_of(self, index: str) -> bytes | None:
        """The category that an index is of, if its members are those that count for it."""
        prefix = self._generation.products(LISTED, SORTS[0], "")
        return index.removeprefix(prefix).encode() if index.startswith(prefix) else None

    def _entries(self, key: str, stored: bytes | None) -> Entries:
        """What a document must be found by; nothing if it is absent, hidden or no document."""
        document = self._shown(key, stored)
        if document is None:
            return NO_ENTRIES
        try:
            view = _VIEWS[kind_of(self._generation, key)]
            return merged(facet.entries(self._generation, document) for facet in view.facets)
        except Exception:
            return NO_ENTRIES

    def _shown(self, key: str, stored: bytes | None) -> Any:
        """The document; None if it is absent, hidden or no document."""
        if stored is None or documents.sendable(stored) is None:
            return None
        try:
            return documents.load(stored, _VIEWS[kind_of(self._generation, key)].document)
        except Exception:
            return None


def by_index(parts: Iterable[Entries]) -> dict[str, list[bytes]]:
    """The members of them all."""
    found: dict[str, list[bytes]] = {}
    for entries in parts:
        for index, member in entries.members:
            found.setdefault(index, []).append(member)
    return found


def holds(entries: Entries, snapshot: Snapshot) -> bool:
    """Whether they all stood in a snapshot that was to have them."""
    return all(snapshot.scores[entry] is not None for entry in entries.members) and all(
        snapshot.documents[pointer] == holder.encode() for pointer, holder in entries.pointers
    )


def kind_of(generation: Generation, key: str) -> str:
    """The word behind the generation: what kind of key it is."""
    return key.removeprefix(generation.prefix).partition(":")[0]
