"""Lists of products by a sort, straight from the index of that sort."""

from collections.abc import Callable
from math import floor

from contracts.keys import Generation, price_key
from contracts.money import from_ticks
from query_service.paging import Page, Stretch, read_page
from query_service.products.filters import ProductFilter, ProductsQuery
from query_service.read_model.demand import Demand
from query_service.read_model.reading import ReadModel


def document_prefix(generation: Generation) -> str:
    return generation.product("")


async def list_products(read_model: ReadModel, query: ProductsQuery, after: bytes | None, demand: Demand) -> Page:
    """The page behind `after`. What the index itself can't tell is judged by the documents."""
    asked = query.filter()
    return await read_page(read_model, stretch_of(query), after, query.limit, demand, remaining(query, asked))


def stretch_of(query: ProductsQuery) -> Stretch:
    """The narrowest part of the sort's index in which everything asked for lies."""

    def indexes(generation: Generation) -> list[str]:
        return [generation.products(listing, query.sort, query.category) for listing in query.listings]

    lowest, highest = _bounds(query)
    return Stretch(indexes, document_prefix, lowest, highest)


def remaining(query: ProductsQuery, asked: ProductFilter) -> Callable[[bytes], bool] | None:
    """The filter, where `stretch_of` leaves anything to be judged."""
    by_price = query.sort in ("price", "-price")
    judged = (
        bool(asked.words),
        query.in_stock is not None,
        query.min_rating is not None and query.sort != "-rating",
        (query.min_price is not None or query.max_price is not None) and not by_price,
    )
    return asked.accepts_body if any(judged) else None


def _bounds(query: ProductsQuery) -> tuple[bytes, bytes | None]:
    """The sort keys between which everything asked for lies, both included; None: without end."""
    least = None if query.min_price is None else price_key(from_ticks(query.min_price))
    most = None if query.max_price is None else price_key(from_ticks(query.max_price))
    if query.sort == "price":
        return least or b"", most
    if query.sort == "-price":
        return _falling(most) or b"", _falling(least)
    if query.sort == "-rating" and query.min_rating is not None:
        return b"", b"%03d" % floor(500 - 100 * query.min_rating)
    return b"", None


def _falling(key: bytes | None) -> bytes | None:
    """A price's key in the index that begins with the dearest: each digit complemented."""
    return None if key is None else key.translate(_COMPLEMENT)


_COMPLEMENT = bytes.maketrans(b"0123456789", b"9876543210")
