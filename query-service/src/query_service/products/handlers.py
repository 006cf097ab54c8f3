"""The queries about products: from the call to the bytes that are sent."""

from collections.abc import Awaitable

import orjson

from chassis.body import invalid, validate_parameters
from chassis.http import Call, Reply
from chassis.problems import Problem, parameter_error
from contracts.documents import sendable
from query_service.answers import asked, document_reply, list_answer, list_reply, page_answer
from query_service.journals import Journal, history_reply
from query_service.paging import Page
from query_service.parameters import no_query
from query_service.problems import PRODUCT_NOT_FOUND, RATING_NOT_FOUND, no_product
from query_service.products.categories import list_categories
from query_service.products.filters import ProductsQuery
from query_service.products.listing import list_products
from query_service.products.related import RelatedQuery, related_products
from query_service.products.search import search_products
from query_service.read_model.demand import Demand
from query_service.read_model.reading import ReadModel
from query_service.replying import answer_page


class ProductQueries:
    def __init__(self, read_model: ReadModel) -> None:
        self._read_model = read_model

    async def by_id(self, call: Call) -> Reply:
        """The hottest route: no step here that is not needed."""
        if call.has_query:
            no_query(call)
        wanted = asked(call)
        product_id = call.path["id"]
        document = await self._read_model.document(lambda g: g.product(product_id), wanted.demand)
        if document is None:
            raise no_product(product_id)
        return document_reply(wanted, *document)

    async def by_sku(self, call: Call) -> Reply:
        """In two steps; a SKU never moves to another product, so that nothing can change between them."""
        no_query(call)
        wanted = asked(call)
        sku = call.path["sku"]
        (found,) = await self._read_model.lookup(lambda g: (g.sku(sku),), wanted.demand)
        if found is None:
            raise Problem(PRODUCT_NOT_FOUND, f"There is no product with the SKU {sku!r}.")
        product_id = found.decode()
        document = await self._read_model.document(lambda g: g.product(product_id), wanted.demand)
        if document is None:
            raise Problem(PRODUCT_NOT_FOUND, f"There is no product with the SKU {sku!r}.")
        return document_reply(wanted, *document)

    async def rating(self, call: Call) -> Reply:
        no_query(call)
        wanted = asked(call)
        product_id, user_id = call.path["id"], call.path["user_id"]
        product, rating = await self._read_model.lookup(
            lambda g: (g.product(product_id), g.rating(product_id, user_id)), wanted.demand
        )
        if sendable(product) is None:
            raise no_product(product_id)
        document = sendable(rating)
        if document is None:
            raise Problem(RATING_NOT_FOUND, f"The user {user_id} has no rating of the product {product_id}.")
        return document_reply(wanted, *document)

    async def history(self, call: Call) -> Reply:
        product_id = call.path["id"]
        journal = Journal(
            lambda g: g.product_history(product_id), lambda g: g.product(product_id), no_product(product_id)
        )
        return await history_reply(self._read_model, call, f"product history {product_id}", journal)

    async def related(self, call: Call) -> Reply:
        query = validate_parameters(RelatedQuery, call.query())
        wanted = asked(call)
        product_id = call.path["id"]
        items = await related_products(self._read_model, product_id, query.limit, wanted.demand)
        if items is None:
            raise no_product(product_id)
        return list_reply(wanted, list_answer(b'{"items":[%s]}' % b",".join(items)))

    async def categories(self, call: Call) -> Reply:
        no_query(call)
        wanted = asked(call)
        counted = await list_categories(self._read_model, wanted.demand)
        items = [{"category": category, "products": products} for category, products in counted]
        return list_reply(wanted, list_answer(orjson.dumps({"items": items})))

    async def several(self, call: Call) -> Reply:
        """A page of a list or a search, or the products with certain ids."""
        wanted = asked(call)
        place = self._read_model.place(call.target)
        held = place.held(wanted.demand)
        if held is not None:
            return list_reply(wanted, held)
        query = validate_parameters(ProductsQuery, call.query())
        if query.ids is not None:
            items = await self._with_ids(query.ids, query, wanted.demand)
            return list_reply(wanted, page_answer(call, items, None))

        def read(after: bytes | None, demand: Demand) -> Awaitable[Page]:
            find = list_products if query.search is None else search_products
            return find(self._read_model, query, after, demand)

        answer, page = await answer_page(call, wanted.demand, query, query.binding(), read)
        if page.sources is not None:
            place.hold(answer, page.sources)
        return list_reply(wanted, answer)

    async def _with_ids(self, ids: tuple[str, ...], query: ProductsQuery, demand: Demand) -> list[bytes]:
        """Those of the ids that there are, discontinued or not, in the order asked for."""
        others = query.model_fields_set - {"ids"}
        if others:
            raise invalid([parameter_error(name, "This goes not together with ids.") for name in sorted(others)])
        values = await self._read_model.lookup(lambda g: [g.product(one) for one in ids], demand)
        return [document[1] for document in map(sendable, values) if document is not None]
