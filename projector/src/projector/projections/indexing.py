"""What a document is indexed under, and the smallest change from the entries of one state to those of another."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Final, Generic, TypeVar

from contracts.documents import Document, OrderDetails, ProductDisplay, ProductInventory
from contracts.keys import (
    DISCONTINUED,
    LISTED,
    SORTS,
    Generation,
    Listing,
    Sort,
    order_member,
    sort_member,
    stock_member,
    word_member,
)
from contracts.text import words

D = TypeVar("D", bound=Document)
Argument = str | bytes | int
Command = list[Argument]


@dataclass(frozen=True, slots=True)
class Entries:
    """Index entries of one document."""

    members: frozenset[tuple[str, bytes]] = frozenset()
    """(sorted set, member)."""
    pointers: frozenset[tuple[str, str]] = frozenset()
    """(key, the id it holds)."""
    counted: frozenset[str] = frozenset()
    """Categories in which the document counts."""


NO_ENTRIES: Final = Entries()


@dataclass(frozen=True, slots=True)
class Facet(Generic[D]):
    """One way in which a document is found. Its entries differ only where `depends_on` does."""

    depends_on: Callable[[D], object]
    entries: Callable[[Generation, D], Entries]


def _listing(product: ProductDisplay) -> Listing:
    return DISCONTINUED if product.is_discontinued else LISTED


def _sorted_by(sort: Sort, field_name: str) -> Facet[ProductDisplay]:
    def entries(generation: Generation, product: ProductDisplay) -> Entries:
        listing, member = _listing(product), sort_member(sort, product)
        members = {(generation.products(listing, sort), member)}
        if product.category is not None:
            members.add((generation.products(listing, sort, product.category), member))
        return Entries(members=frozenset(members))

    return Facet(attrgetter("is_discontinued", "category", field_name), entries)


def _words(generation: Generation, product: ProductDisplay) -> Entries:
    key = generation.words(_listing(product))
    distinct = {*words(product.name), *words(product.sku or "")}
    return Entries(members=frozenset((key, word_member(word, product)) for word in distinct))


def _sku(generation: Generation, product: ProductDisplay) -> Entries:
    if product.sku is None:
        return NO_ENTRIES
    return Entries(pointers=frozenset(((generation.sku(product.sku), product.id),)))


def _category(_generation: Generation, product: ProductDisplay) -> Entries:
    if product.category is None or product.is_discontinued:
        return NO_ENTRIES
    return Entries(counted=frozenset((product.category,)))


def _stock(generation: Generation, inventory: ProductInventory) -> Entries:
    return Entries(members=frozenset(((generation.stock, stock_member(inventory.id, inventory.available)),)))


def _orders(generation: Generation, order: OrderDetails) -> Entries:
    member = order_member(order.id, order.placed_at)
    return Entries(members=frozenset(((generation.orders(), member), (generation.orders(order.customer_id), member))))


def _orders_by_status(generation: Generation, order: OrderDetails) -> Entries:
    member = order_member(order.id, order.placed_at)
    keys = (generation.orders(status=order.status), generation.orders(order.customer_id, order.status))
    return Entries(members=frozenset((key, member) for key in keys))


_SORT_FIELDS: Final[dict[Sort, str]] = {
    "name": "name",
    "price": "price",
    "-price": "price",
    "-rating": "user_rating",
    "-created_at": "created_at",
}

PRODUCT_FACETS: Final[tuple[Facet[ProductDisplay], ...]] = (
    *(_sorted_by(sort, _SORT_FIELDS[sort]) for sort in SORTS),
    Facet(attrgetter("is_discontinued", "name", "sku", "created_at"), _words),
    Facet(attrgetter("sku"), _sku),
    Facet(attrgetter("is_discontinued", "category"), _category),
)

INVENTORY_FACETS: Final[tuple[Facet[ProductInventory], ...]] = (Facet(attrgetter("available"), _stock),)

ORDER_FACETS: Final[tuple[Facet[OrderDetails], ...]] = (
    Facet(attrgetter("customer_id", "placed_at"), _orders),
    Facet(attrgetter("customer_id", "placed_at", "status"), _orders_by_status),
)


@dataclass(slots=True)
class IndexChange:
    """What must be taken out of the indexes and put into them, over a whole batch, grouped by key."""

    removed: dict[str, list[bytes]] = field(default_factory=dict)
    added: dict[str, list[bytes]] = field(default_factory=dict)
    pointers: dict[str, str | None] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def move(self, facets: tuple[Facet[D], ...], generation: Generation, before: D | None, after: D | None) -> None:
        """A document's state was `before` and is `after`; None where it is absent or hidden."""
        for facet in facets:
            if before is not None and after is not None and facet.depends_on(before) == facet.depends_on(after):
                continue
            self._replace(
                NO_ENTRIES if before is None else facet.entries(generation, before),
                NO_ENTRIES if after is None else facet.entries(generation, after),
            )

    @property
    def keys(self) -> set[str]:
        """The sorted sets that it changes."""
        return self.removed.keys() | self.added.keys()

    def merge(self, other: "IndexChange") -> None:
        """Both changes in one. A document's entries are in one of them only."""
        for mine, theirs in ((self.removed, other.removed), (self.added, other.added)):
            for key, members in theirs.items():
                mine.setdefault(key, []).extend(members)
        self.pointers |= other.pointers
        for category, difference in other.counts.items():
            self.counts[category] = self.counts.get(category, 0) + difference

    def _replace(self, before: Entries, after: Entries) -> None:
        for key, member in before.members - after.members:
            self.removed.setdefault(key, []).append(member)
        for key, member in after.members - before.members:
            self.added.setdefault(key, []).append(member)
        for key, _ in before.pointers - after.pointers:
            self.pointers.setdefault(key, None)
        for key, holder in after.pointers - before.pointers:
            self.pointers[key] = holder
        for category in before.counted - after.counted:
            self.counts[category] = self.counts.get(category, 0) - 1
        for category in after.counted - before.counted:
            self.counts[category] = self.counts.get(category, 0) + 1

    def commands(self, generation: Generation) -> Iterator[Command]:
        """The Redis commands that make the change, each of any length."""
        for key, members in self.removed.items():
            yield ["ZREM", key, *members]
        for key, members in self.added.items():
            # All scores are 0: the members' bytes are the order.
            scored: Command = ["ZADD", key]
            for member in members:
                scored += (0, member)
            yield scored
        for key, holder in self.pointers.items():
            yield ["DEL", key] if holder is None else ["SET", key, holder]
        for category, difference in self.counts.items():
            if difference:
                yield ["HINCRBY", generation.categories, category, difference]
