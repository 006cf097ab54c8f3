"""The addresses of products, categories and ratings, and of what products tell of themselves."""

from dataclasses import dataclass

from chassis.http import UUID_PARAMETER, Operation
from contracts.documents import ProductDisplay, UserRating
from query_service.documentation import query
from query_service.journals import HISTORY_LIST, HistoryPage, HistoryQuery
from query_service.parameters import SKU, USER_ID
from query_service.problems import PRODUCT_NOT_FOUND, RATING_NOT_FOUND
from query_service.products.filters import ProductsQuery
from query_service.products.handlers import ProductQueries
from query_service.products.related import RelatedQuery
from query_service.read_model.reading import ReadModel


@dataclass(frozen=True, slots=True)
class ProductPage:
    """Products, and where the list goes on; null at its end only."""

    items: list[ProductDisplay]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class RelatedProducts:
    """Products that a product is shown with."""

    items: list[ProductDisplay]


@dataclass(frozen=True, slots=True)
class CategoryCount:
    """A category and how many listed products it has."""

    category: str
    products: int


@dataclass(frozen=True, slots=True)
class Categories:
    """All categories with listed products, ordered like names."""

    items: list[CategoryCount]


_LIST = """Products in the order of `sort`, those that fit every filter.

Each sort alone or within a category, and a price range sorted by price, cost the same at any size of the shop. Other
combinations do bounded work a page: a page may be short, even empty, while `next_cursor` is set. Only null ends the
list. A cursor never expires; it goes with the same filters and the same sort, `limit` may change."""

_RELATED = """First those that were bought together with it most often, then the best rated of its category; each once,
never the product itself, and no discontinued ones. `limit` is 10 unless it is given. Of each kind some hundred
candidates are looked at, so that a product that goes with very many discontinued ones may have fewer."""


def operations(read_model: ReadModel) -> list[Operation]:
    queries = ProductQueries(read_model)
    return [
        query(
            "/products",
            "list_products",
            "List, search and filter products, or get several by id",
            queries.several,
            "products",
            ProductPage,
            description=_LIST,
            parameters=ProductsQuery,
            paged=True,
        ),
        query(
            "/products/{id}",
            "get_product",
            "Find a product by its id",
            queries.by_id,
            "products",
            ProductDisplay,
            path_parameters={"id": UUID_PARAMETER},
            not_found=(PRODUCT_NOT_FOUND,),
        ),
        query(
            "/products/by-sku/{sku}",
            "get_product_by_sku",
            "Find a product by its SKU",
            queries.by_sku,
            "products",
            ProductDisplay,
            path_parameters={"sku": SKU},
            not_found=(PRODUCT_NOT_FOUND,),
        ),
        query(
            "/products/{id}/related",
            "get_related_products",
            "Products that a product is shown with",
            queries.related,
            "products",
            RelatedProducts,
            description=_RELATED,
            path_parameters={"id": UUID_PARAMETER},
            parameters=RelatedQuery,
            not_found=(PRODUCT_NOT_FOUND,),
        ),
        query(
            "/products/{id}/history",
            "get_product_history",
            "What happened to a product, its stock and its ratings",
            queries.history,
            "products",
            HistoryPage,
            description=HISTORY_LIST,
            path_parameters={"id": UUID_PARAMETER},
            parameters=HistoryQuery,
            not_found=(PRODUCT_NOT_FOUND,),
            paged=True,
        ),
        query(
            "/products/{id}/ratings/{user_id}",
            "get_rating",
            "One user's rating of a product",
            queries.rating,
            "ratings",
            UserRating,
            path_parameters={"id": UUID_PARAMETER, "user_id": USER_ID},
            not_found=(PRODUCT_NOT_FOUND, RATING_NOT_FOUND),
        ),
        query(
            "/categories",
            "list_categories",
            "All categories and how many products they have",
            queries.categories,
            "products",
            Categories,
        ),
    ]
