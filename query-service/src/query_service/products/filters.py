"""What `GET /products` may ask for, and which products fit."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

import orjson
from pydantic import Field

from chassis.body import invalid
from chassis.problems import parameter_error
from contracts.keys import DISCONTINUED, LISTED, Listing, Sort
from contracts.money import to_ticks
from contracts.text import words
from query_service.parameters import (
    LONGEST_SEARCH,
    MOST_WORDS,
    Flag,
    Ids,
    Stars,
    Text,
    Ticks,
)
from query_service.replying import PagedQuery


class ProductsQuery(PagedQuery):
    """The query parameters of `GET /products`."""

    search: Annotated[
        Text | None,
        Field(
            max_length=LONGEST_SEARCH,
            description=f"Words, at most {MOST_WORDS}: each must begin a word of the name or the SKU.",
        ),
    ] = None
    category: Annotated[Text | None, Field(description="Exactly this category.")] = None
    min_price: Annotated[Ticks | None, Field(description="The price is this or higher.")] = None
    max_price: Annotated[Ticks | None, Field(description="The price is this or lower.")] = None
    in_stock: Annotated[
        Flag | None, Field(description="`true`: only what is in stock; `false`: only what is out of stock.")
    ] = None
    min_rating: Annotated[
        Stars | None, Field(description="The average rating is this or better; products without ratings never are.")
    ] = None
    include_discontinued: Annotated[Flag, Field(description="Discontinued products too.")] = False
    sort: Annotated[Sort, Field(description="Ties are ordered by id; products without ratings come last.")] = (
        "-created_at"
    )
    ids: Annotated[
        Ids | None, Field(description="These products, in this order; goes with no other parameter. Unknown: left out.")
    ] = None

    def search_words(self) -> tuple[str, ...]:
        """The words searched for; none when nothing is.

        Raises:
            Problem: 422, the search has no word or too many.
        """
        if self.search is None:
            return ()
        found = tuple(words(self.search))
        if not found:
            raise invalid([parameter_error("search", "There is no word in it: no letter and no digit.")])
        if len(found) > MOST_WORDS:
            raise invalid([parameter_error("search", f"At most {MOST_WORDS} words can be searched for.")])
        return found

    @property
    def listings(self) -> tuple[Listing, ...]:
        return (LISTED, DISCONTINUED) if self.include_discontinued else (LISTED,)

    def filter(self) -> "ProductFilter":
        return ProductFilter(
            self.search_words(),
            self.category,
            self.min_price,
            self.max_price,
            self.in_stock,
            self.min_rating,
            self.include_discontinued,
        )

    def binding(self) -> str:
        """What a cursor of this list is bound to: all but the page's size."""
        return f"products {self.sort} {self.filter()!r}"


@dataclass(frozen=True, slots=True)
class ProductFilter:
    """Which products are asked for. Prices are in 1/10000."""

    words: tuple[str, ...] = ()
    category: str | None = None
    min_price: int | None = None
    max_price: int | None = None
    in_stock: bool | None = None
    min_rating: Decimal | None = None
    include_discontinued: bool = False

    def beyond_search(self) -> bool:
        """Whether more is asked than the words of a search."""
        others = (self.category, self.min_price, self.max_price, self.in_stock, self.min_rating)
        return any(value is not None for value in others)

    def accepts_body(self, body: bytes) -> bool:
        return self.accepts(orjson.loads(body))

    def accepts(self, product: dict[str, Any]) -> bool:
        """Whether a product fits, by what its parsed document (a `ProductDisplay`) says."""
        if product["is_discontinued"] and not self.include_discontinued:
            return False
        if self.category is not None and product["category"] != self.category:
            return False
        if self.in_stock is not None and product["is_out_of_stock"] == self.in_stock:
            return False
        if self.min_rating is not None and not _rated(product["user_rating"], self.min_rating):
            return False
        if self.min_price is not None and to_ticks(product["price"]) < self.min_price:
            return False
        if self.max_price is not None and to_ticks(product["price"]) > self.max_price:
            return False
        return not self.words or _has_words(product, self.words)


def _rated(average: float | None, least: Decimal) -> bool:
    # The average has 2 decimals; as hundredths both sides are exact.
    return average is not None and round(average * 100) >= least * 100


def _has_words(product: dict[str, Any], asked: tuple[str, ...]) -> bool:
    present = words(product["name"])
    if product["sku"] is not None:
        present += words(product["sku"])
    return all(any(word.startswith(prefix) for word in present) for prefix in asked)
