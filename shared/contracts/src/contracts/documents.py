"""The documents of the read model, and the form in which Redis keeps them.

A document is stored as the bytes that are sent: its entity tag, a line feed, and the JSON body. The entity tag is
``"<version>-<hash of the body>"``, quotes included. A document whose defining event is still missing is kept for the
projector alone: its tag is prefixed by ``-`` and queries take it for absent.
"""

from dataclasses import dataclass, field, fields
from hashlib import blake2b
from typing import Any, ClassVar, Final, Literal, Protocol, TypeVar, cast

import orjson
from typing_extensions import TypedDict  # of a dependency, pydantic: it takes `typing`'s from Python 3.12 on only

_HIDDEN: Final = b"-"
_SEPARATOR: Final = b"\n"


class Document(Protocol):
    """A dataclass with a version: that of the stream which its URL names. 0 as long as that stream has no event."""

    @property
    def version(self) -> int: ...


D = TypeVar("D", bound=Document)


def _empty_histogram() -> dict[str, int]:
    return {"1": 0, "2": 0, "3": 0, "4": 0, "5": 0}


@dataclass(frozen=True, slots=True)
class ProductDisplay:
    """A product as customers see it. Money is a decimal string, times are RFC 3339 in UTC."""

    id: str
    sku: str | None = None
    name: str = ""
    description: str | None = None
    category: str | None = None
    price: str = "0.00"
    currency: str = ""
    available: int = 0
    is_out_of_stock: bool = True
    user_rating: float | None = None
    """The average to 2 decimals, or null when nobody rated."""
    rating_count: int = 0
    rating_histogram: dict[str, int] = field(default_factory=_empty_histogram)
    """How many gave 1, 2, 3, 4 and 5."""
    is_discontinued: bool = False
    created_at: str = ""
    updated_at: str = ""
    version: int = 0


@dataclass(frozen=True, slots=True)
class ProductInventory:
    """A product's stock, in pieces. ``available = max(0, current_stock - reserved)``."""

    id: str
    name: str = ""
    sku: str | None = None
    current_stock: int = 0
    reserved: int = 0
    available: int = 0
    shortage: int = 0
    """How many reserved pieces are not on the shelf."""
    version: int = 0


@dataclass(frozen=True, slots=True)
class UserRating:
    """One user's rating of one product."""

    user_id: str
    rating: int = 0
    """1–5; 0 when it was withdrawn, and then the document is hidden."""
    version: int = 0
    updated_at: str = ""


OrderStatus = Literal["placed", "paid", "partially_shipped", "shipped", "partially_returned", "returned", "cancelled"]


class OrderDetailsLine(TypedDict):
    """A line of an order, as it was when it was placed, and how many of its pieces went where since."""

    product_id: str
    name: str
    quantity: int
    unit_price: str
    shipped: int
    returned: int
    cancelled: int


@dataclass(frozen=True, slots=True)
class OrderDetails:
    """An order. The last two fields are left out as long as they are null."""

    id: str
    customer_id: str = ""
    status: OrderStatus = "placed"
    lines: list[OrderDetailsLine] = field(default_factory=list)
    total: str = "0.00"
    currency: str = ""
    placed_at: str = ""
    updated_at: str = ""
    version: int = 0
    payment_reference: str | None = None
    cancellation_reason: str | None = None

    left_out_when_null: ClassVar[tuple[str, ...]] = ("payment_reference", "cancellation_reason")


@dataclass(frozen=True, slots=True)
class OrderSummary:
    """An order in a list of orders."""

    id: str
    customer_id: str = ""
    status: OrderStatus = "placed"
    total: str = "0.00"
    currency: str = ""
    line_count: int = 0
    placed_at: str = ""

    @property
    def version(self) -> int:
        """It is never sent alone, so no entity tag needs a version of it."""
        return 0


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One event in the history of a product or an order. `version` is that of the event's own stream."""

    at: str
    event: str
    command: str
    command_id: str
    version: int
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class StockAlert:
    """A product's stock ran out, or low: once for each time that it did."""

    product_id: str
    alert: Literal["StockRanOut", "StockRanLow"]
    available: int
    threshold: int
    at: str


@dataclass(frozen=True, slots=True)
class DaySales:
    """What was sold on one day (UTC), and what was taken back. Money is a decimal string."""

    date: str
    orders: int = 0
    units: int = 0
    revenue: str = "0.00"
    cancelled_orders: int = 0
    returned_units: int = 0
    refunds: str = "0.00"


def store(document: Document, *, hidden: bool = False) -> bytes:
    """The bytes that Redis keeps of a document."""
    body = orjson.dumps(_without_nulls(document))
    tag = entity_tag(document.version, body)
    return b"".join((_HIDDEN if hidden else b"", tag, _SEPARATOR, body))


def _without_nulls(document: Document) -> Any:
    """The document, without those fields that are left out when they are null."""
    absent = [n for n in getattr(document, "left_out_when_null", ()) if getattr(document, n) is None]
    if not absent:
        return document
    names = (f.name for f in fields(cast(Any, document)))
    return {name: getattr(document, name) for name in names if name not in absent}


def load(stored: bytes, cls: type[D]) -> D:
    """The document from the bytes that Redis kept, hidden or not."""
    return cls(**orjson.loads(stored[stored.index(_SEPARATOR) + 1 :]))


def sendable(stored: bytes | None) -> tuple[bytes, bytes] | None:
    """Entity tag and body, ready to send; None where a client must see nothing."""
    if stored is None or stored.startswith(_HIDDEN):
        return None
    tag, _, body = stored.partition(_SEPARATOR)
    return tag, body


def revision(stored: bytes | None) -> bytes:
    """What tells this state of the document from any other: its first line, or nothing when it is absent."""
    return stored[: stored.index(_SEPARATOR) + 1] if stored else b""


def entity_tag(version: int, body: bytes) -> bytes:
    """``"<version>-<hash>"`` with its quotes; the hash is of the body's bytes (BLAKE2b, 64 bits)."""
    return b'"%d-%s"' % (version, blake2b(body, digest_size=8).hexdigest().encode())
