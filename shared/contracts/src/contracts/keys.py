"""Where the read model lives in Redis: keys, index members and their order.

All keys of one generation begin with ``g<n>:``. Beside them stand only `LIVE` (which generation is read) and the
channels on which the projector announces what it applied.

Indexes are sorted sets whose scores are all 0: Redis then orders members by their bytes, and a member is a sort key
followed by the 16 bytes of the id. So a page begins exactly behind a (key, id), ties are ordered by id, and no page
costs more than another. Every product is in the indexes of one listing: `LISTED` or `DISCONTINUED`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from contracts.documents import ProductDisplay
from contracts.money import to_ticks
from contracts.streams import kind_of, partition_key_of
from contracts.text import fold

LIVE: Final = "stockroom:live"
"""Holds the number of the generation that queries read."""

APPLIED_CHANNEL: Final = "stockroom:applied:"
"""`APPLIED_CHANNEL` + partition: an `announcement`, published in the very script that applies events of it."""

READ_MODEL: Final = 1
"""Version of the documents, indexes and tallies as this code writes them.

Raised with every change that would write other ones of the same log; `projector rebuild` then makes them anew.
"""

Sort = Literal["name", "price", "-price", "-rating", "-created_at"]
SORTS: Final[tuple[Sort, ...]] = ("name", "price", "-price", "-rating", "-created_at")
Listing = Literal["listed", "discontinued"]
LISTED: Final = "listed"
DISCONTINUED: Final = "discontinued"

ID_BYTES: Final = 16
_PRICE_DIGITS: Final = 15
_PRICE_TOP: Final = 10**_PRICE_DIGITS - 1
_STOCK_DIGITS: Final = 13


@dataclass(frozen=True, slots=True)
class Generation:
    """The keys of one generation of the read model."""

    number: int

    @property
    def prefix(self) -> str:
        return f"g{self.number}:"

    @property
    def complete(self) -> str:
        """Present while the generation is whole; queries answer 503 without it. Holds `READ_MODEL`."""
        return f"g{self.number}:complete"

    @property
    def schema(self) -> str:
        """The `READ_MODEL` of the code that began the generation; no other code may write into it."""
        return f"g{self.number}:schema"

    @property
    def checkpoint(self) -> str:
        """The position of the log up to which the walk has found everything applied."""
        return f"g{self.number}:checkpoint"

    @property
    def witness(self) -> str:
        """Which log the generation was made from: ``"<position> <identity>"`` of an event that it must have.

        The position is at or below that of the checkpoint that it was written with.
        """
        return f"g{self.number}:witness"

    @property
    def rebuilding(self) -> str:
        """Where a rebuild began: the position that was settled before it paged the log, and an event there.

        It becomes the checkpoint and its witness when all is paged.
        """
        return f"g{self.number}:rebuild"

    def rebuild(self, partition: int) -> str:
        """How far a rebuild has come: ``"<events done> <last event's id>"``, ``"<events done> *"`` at the end."""
        return f"g{self.number}:rebuild:{partition}"

    def applied(self, partition: int) -> str:
        """The highest position applied of a partition, when, and which event was the last: ``"<position> <unix
        seconds> <identity>"``."""
        return f"g{self.number}:applied:{partition}"

    @property
    def parked(self) -> str:
        """Hash: partition key → why, since when and which streams it is parked with (JSON)."""
        return f"g{self.number}:parked"

    def parked_in(self, partition: int) -> str:
        """How many keys of a partition are parked; absent when none is. A string, so that it comes with an MGET."""
        return f"g{self.number}:parked:{partition}"

    def version(self, stream_id: str) -> str:
        """The version up to which a stream was applied."""
        return f"g{self.number}:version:{stream_id}"

    def product(self, product_id: str) -> str:
        return f"g{self.number}:product:{product_id}"

    def inventory(self, product_id: str) -> str:
        return f"g{self.number}:inventory:{product_id}"

    def rating(self, product_id: str, user_id: str) -> str:
        return f"g{self.number}:rating:{product_id}:{user_id}"

    def order(self, order_id: str) -> str:
        return f"g{self.number}:order:{order_id}"

    def order_summary(self, order_id: str) -> str:
        return f"g{self.number}:ordersummary:{order_id}"

    def orders(self, customer_id: str | None = None, status: str | None = None) -> str:
        """Sorted set of `order_member`s: all orders, or those of a customer, of a status, or of both.

        Statuses have no colon, so no customer's id can be mistaken for both.
        """
        return f"g{self.number}:orders:{status or ''}:{customer_id or ''}"

    def product_history(self, product_id: str) -> str:
        """Sorted set of `journal_member`s: what happened to a product, its stock and its ratings; its alerts."""
        return f"g{self.number}:history:product:{product_id}"

    def order_history(self, order_id: str) -> str:
        """Sorted set of `journal_member`s: what happened to an order."""
        return f"g{self.number}:history:order:{order_id}"

    def history_of(self, stream_id: str) -> str:
        """The history that a stream's events belong into."""
        owner = partition_key_of(stream_id)
        return self.order_history(owner) if kind_of(stream_id) == "order" else self.product_history(owner)

    @property
    def alerts(self) -> str:
        """Sorted set of `journal_member`s: the stock alerts of all products."""
        return f"g{self.number}:alerts"

    def bought_with(self, product_id: str) -> str:
        """Sorted set: the ids of the products that were bought with this one, scored by minus the number of orders.

        So ascending order has the most frequent first, and ties by id.
        """
        return f"g{self.number}:boughtwith:{product_id}"

    def sales(self, date: str) -> str:
        """Hash of one day's sums (UTC, ``2026-11-21``): the fields of `DaySales`, money in 1/10000."""
        return f"g{self.number}:sales:{date}"

    @property
    def currency(self) -> str:
        """The shop's currency; written together with `complete`."""
        return f"g{self.number}:currency"

    def sku(self, sku: str) -> str:
        """Holds the id of the product with this SKU."""
        return f"g{self.number}:sku:{sku}"

    def products(self, listing: Listing, sort: Sort, category: str | None = None) -> str:
        """Sorted set of `sort_member`s: all products of a listing, or those of one category."""
        if category is None:
            return f"g{self.number}:products:{listing}:{sort}"
        return f"g{self.number}:products:{listing}:{sort}:{category}"

    def words(self, listing: Listing) -> str:
        """Sorted set of `word_member`s."""
        return f"g{self.number}:words:{listing}"

    @property
    def categories(self) -> str:
        """Hash: category → how many listed products it has. May hold zeros."""
        return f"g{self.number}:categories"

    @property
    def stock(self) -> str:
        """Sorted set of `stock_member`s: every inventory by what is available."""
        return f"g{self.number}:stock"


def sort_key(sort: Sort, product: ProductDisplay) -> bytes:
    """The bytes by which a product is ordered; ascending bytes are the order that `sort` asks for."""
    if sort == "name":
        # NUL ends the name, so that "Chai" comes before "Chai Tea"; folding removes none, but the contract refuses it.
        return fold(product.name).encode() + b"\x00"
    if sort == "price":
        return price_key(product.price)
    if sort == "-price":
        return b"%0*d" % (_PRICE_DIGITS, _PRICE_TOP - to_ticks(product.price))
    if sort == "-rating":
        # 5.00 → 500 → "500" complemented; null comes last, behind every rating.
        return b"999" if product.user_rating is None else b"%03d" % (500 - round(product.user_rating * 100))
    return descending_time(product.created_at)


def price_key(price: str) -> bytes:
    return b"%0*d" % (_PRICE_DIGITS, to_ticks(price))


def descending_time(rfc3339: str) -> bytes:
    """RFC 3339 in UTC with microseconds, each digit complemented: later times come first."""
    return rfc3339.translate(_COMPLEMENT).encode()


_COMPLEMENT: Final = str.maketrans("0123456789", "9876543210")


def sort_member(sort: Sort, product: ProductDisplay) -> bytes:
    return sort_key(sort, product) + _id_bytes(product.id)


def word_member(word: str, product: ProductDisplay) -> bytes:
    """A word of the product's name or SKU, NUL, then newest first: all products with a word are one range."""
    return word.encode() + b"\x00" + descending_time(product.created_at) + _id_bytes(product.id)


def stock_member(product_id: str, available: int) -> bytes:
    return stock_key(available) + _id_bytes(product_id)


def stock_key(available: int) -> bytes:
    return b"%0*d" % (_STOCK_DIGITS, available)


def order_member(order_id: str, placed_at: str) -> bytes:
    """Newest first."""
    return descending_time(placed_at) + _id_bytes(order_id)


HISTORY_LENGTH: Final = 1000
"""So many entries of a history are kept, the newest."""

POSITION_DIGITS: Final = 19
_LAST_POSITION: Final = 10**POSITION_DIGITS - 1


def journal_member(position: int, entry: bytes) -> bytes:
    """An entry (JSON) of a list that the log's order gives: the newest comes first, and each is there once."""
    return b"%0*d" % (POSITION_DIGITS, _LAST_POSITION - position) + entry


def journal_entry(member: bytes) -> bytes:
    """The JSON of a `journal_member`."""
    return member[POSITION_DIGITS:]


def _id_bytes(canonical_uuid: str) -> bytes:
    return bytes.fromhex(canonical_uuid.replace("-", ""))


def member_id(member: bytes) -> str:
    """The id at the end of any index member."""
    digits = member[-ID_BYTES:].hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


_NAMES_INDEXES: Final = b" indexes"


def announcement(position: int, keys: Iterable[str]) -> str:
    """What is published of a step: the highest position applied, and behind it, a line each, the keys it wrote.

    They are those of documents and of indexes. The first line says so: projectors of before named documents alone.
    """
    return f"{position}{_NAMES_INDEXES.decode()}\n" + "\n".join(keys)


def announced(said: bytes) -> list[str] | None:
    """The keys in an announcement; None if it does not say all that was written."""
    head, line_feed, keys = said.partition(b"\n")
    if not (line_feed and head.endswith(_NAMES_INDEXES)):
        return None
    return keys.decode(errors="replace").split("\n") if keys else []
