"""Whatever happened, and however the news of it comes: the read model is that of the log, and shows the plain shop."""

from decimal import Decimal
from random import Random
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, run_state_machine_as_test
from projector_testing.expectation import expected
from projector_testing.shop import GENERATION, Log

from contracts.documents import OrderDetails, ProductDisplay, ProductInventory, UserRating, load
from contracts.money import from_ticks

from .delivering import ReadModel, deliver_somehow, deliver_straight
from .plain_things import text
from .running import SHRINKING_SECONDS, STABLE
from .trading import Trading

pytestmark = pytest.mark.timeout(SHRINKING_SECONDS)


class Delivered(Trading):
    """The log that the trade leads to is delivered at the end."""

    chance = Random(0)

    @initialize(seed=st.integers(0, 2**32))
    def some_broker(self, seed: int) -> None:
        self.chance = Random(seed)

    def teardown(self) -> None:
        self.settle()
        log = self.side.store.log
        straight = deliver_straight(log)
        counted_anew = Log()
        counted_anew.events = log
        assert straight.keys() == expected(counted_anew)
        assert deliver_somehow(log, self.chance).keys() == straight.keys()
        self._shows_products(straight)
        self._shows_orders(straight)
        self._shows_days(straight)

    def _shows_products(self, model: ReadModel) -> None:
        for product_id, plain in self.plain.products.items():
            stars = [rating for (rated, _), rating in self.plain.ratings.items() if rated == product_id]
            shelf, mean = self.plain.shelves[product_id], Decimal(sum(stars)) / max(1, len(stars))
            product = load(model.state.documents[GENERATION.product(product_id)], ProductDisplay)
            shown = (product.name, product.description, product.category, product.price, product.sku)
            assert shown == (plain.name, plain.description, plain.category, text(plain.price), plain.sku)
            assert (product.available, product.is_out_of_stock) == (shelf.available, not shelf.available)
            assert (product.is_discontinued, product.rating_count) == (plain.discontinued, len(stars))
            assert product.user_rating == (round(float(mean), 2) if stars else None)
            assert product.rating_histogram == {str(n): stars.count(n) for n in range(1, 6)}
            assert product.version == self.plain.versions[f"product-{product_id}"]
            assert (product.created_at, product.updated_at) == self._first_and_latest(f"product-{product_id}")
            stock = load(model.state.documents[GENERATION.inventory(product_id)], ProductInventory)
            version = self.plain.versions[f"inventory-{product_id}"]
            numbers = (shelf.on_hand, shelf.reserved, shelf.available, shelf.shortage, version)
            assert stock == ProductInventory(product_id, plain.name, plain.sku, *numbers)
        for (product_id, user), stars_given in self.plain.ratings.items():
            rating = load(model.state.documents[GENERATION.rating(product_id, user)], UserRating)
            assert (rating.user_id, rating.rating) == (user, stars_given)

    def _first_and_latest(self, stream_id: str) -> tuple[str, str]:
        """When a stream's first event happened, and the latest; what is told afterwards may have happened earlier."""
        times = [event.time for event in self.side.store.log if event.stream_id == stream_id]
        return times[0], max(times)

    def _shows_orders(self, model: ReadModel) -> None:
        for order_id, plain in self.plain.orders.items():
            order = load(model.state.documents[GENERATION.order(order_id)], OrderDetails)
            assert (order.customer_id, order.status, order.total) == (plain.customer, plain.status, text(plain.total))
            assert (order.currency, order.version) == (self.plain.currency, self.plain.versions[f"order-{order_id}"])
            assert order.payment_reference == (plain.payment[1] if plain.payment is not None else None)
            assert order.cancellation_reason == plain.reason
            assert (order.placed_at, order.updated_at) == self._first_and_latest(f"order-{order_id}")
            assert order.lines == [
                {
                    "product_id": line.product,
                    "name": line.name,
                    "quantity": line.quantity,
                    "unit_price": text(line.price),
                    "shipped": line.shipped,
                    "returned": line.returned,
                    "cancelled": line.cancelled,
                }
                for line in plain.lines
            ]

    def _shows_days(self, model: ReadModel) -> None:
        for date, plain in self.plain.days.items():
            shown: dict[str, Any] = dict(model.sums(GENERATION.sales(date)))
            money = {name: Decimal(from_ticks(shown.pop(name, 0))) for name in ("revenue", "refunds")}
            assert money == {"revenue": plain.revenue, "refunds": plain.refunds}
            counts = ("orders", "units", "cancelled_orders", "returned_units")
            assert shown == {name: getattr(plain, name) for name in counts if getattr(plain, name)}


@pytest.mark.usefixtures("frequent_snapshots")
def test_any_delivery_of_any_log_gives_the_read_model_that_shows_the_plain_shop() -> None:
    run_state_machine_as_test(Delivered, settings=settings(STABLE, max_examples=150, stateful_step_count=50))
