"""The documents of the read model, and the form in which Redis keeps them.

A document is stored as the bytes that are sent: its entity tag, a line feed, and the JSON body. The entity tag is
``"<version>-<hash of the body>"``, quotes included. A document whose defining event is still missing is kept for the
projector alone: its tag is prefixed by ``-`` and queries take it for absent.
"""

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final, Protocol, TypeVar

import orjson

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


def store(document: Document, *, hidden: bool = False) -> bytes:
    """The bytes that Redis keeps of a document."""
    body = orjson.dumps(document)
    tag = entity_tag(document.version, body)
    return b"".join((_HIDDEN if hidden else b"", tag, _SEPARATOR, body))


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
