"""The same commands in `eventsourcing`: aggregates, and an application that executes them one by one.

What was chosen, and why it is good for this library:

- A product, its stock and each user's rating are aggregates of their own, as in Stockroom: so the same command
  records the same number of events, and no aggregate grows with the number of ratings. Every event names the
  product, for projections.
- ``POSTGRES_ENABLE_DB_FUNCTIONS``: a save is one call of a function in the database instead of a pipeline of
  statements.
- ``AGGREGATE_CACHE_MAXSIZE``: as many aggregates are remembered as our executor remembers streams. They are not read
  again (``AGGREGATE_CACHE_FASTFORWARD=n``) nor copied (``DEEPCOPY_FROM_AGGREGATE_CACHE=n``): it has the log for
  itself, and none of these commands is refused half-way.
- psycopg in its binary form, the default transcoder (JSON), no compression and no encryption.
"""

from typing import Any
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, UUID, uuid5

from eventsourcing.application import AggregateNotFoundError, Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import Recording

REMEMBERED = 20_000


def settings(url: str) -> dict[str, str]:
    """The library's own settings, for a database."""
    parts = urlsplit(url)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": parts.path[1:],
        "POSTGRES_HOST": parts.hostname or "127.0.0.1",
        "POSTGRES_PORT": str(parts.port),
        "POSTGRES_USER": parts.username or "",
        "POSTGRES_PASSWORD": parts.password or "",
        "POSTGRES_POOL_SIZE": "10",
        "POSTGRES_MAX_OVERFLOW": "10",
        "POSTGRES_ENABLE_DB_FUNCTIONS": "y",
        "AGGREGATE_CACHE_MAXSIZE": str(REMEMBERED),
        "AGGREGATE_CACHE_FASTFORWARD": "n",
        "DEEPCOPY_FROM_AGGREGATE_CACHE": "n",
    }


class Product(Aggregate):
    @event("Added")
    def __init__(self, product_id: UUID, name: str, price: str, category: str) -> None:
        self.product_id = product_id
        self.name = name
        self.price = price
        self.category = category

    @staticmethod
    def create_id(product_id: UUID, **_: Any) -> UUID:
        return product_id

    @event("PriceChanged")
    def change_price(self, price: str) -> None:
        self.price = price


class Inventory(Aggregate):
    @event("Opened")
    def __init__(self, product_id: UUID, quantity: int) -> None:
        self.product_id = product_id
        self.on_hand = quantity

    @staticmethod
    def create_id(product_id: UUID, **_: Any) -> UUID:
        return uuid5(product_id, "inventory")

    @event("StockAdded")
    def add(self, product_id: UUID, quantity: int) -> None:
        self.on_hand += quantity


class Rating(Aggregate):
    @event("Rated")
    def __init__(self, product_id: UUID, user_id: str, stars: int) -> None:
        self.product_id = product_id
        self.user_id = user_id
        self.stars = stars

    @staticmethod
    def create_id(product_id: UUID, user_id: str, **_: Any) -> UUID:
        return uuid5(product_id, user_id)

    @event("RatedAgain")
    def rate_again(self, product_id: UUID, stars: int, replaced: int) -> None:
        self.stars = stars


Recordings = list[Recording[UUID]]


class Shop(Application[UUID]):
    """What can be done; each is one command, saved by itself."""

    def add_product(self, data: dict[str, Any]) -> Recordings:
        return self.save(*self.new_product(data))

    @staticmethod
    def new_product(data: dict[str, Any]) -> tuple[Aggregate, Aggregate]:
        product_id = UUID(data["id"]) if "id" in data else uuid5(NAMESPACE_URL, data["name"])
        product = Product(product_id, data["name"], data["price"], data["category"])
        return product, Inventory(product_id, data.get("initial_stock", 0))

    def change_price(self, product_id: UUID, price: str) -> Recordings:
        product: Product = self.repository.get(product_id)
        product.change_price(price)
        return self.save(product)

    def add_to_inventory(self, product_id: UUID, quantity: int) -> Recordings:
        inventory: Inventory = self.repository.get(Inventory.create_id(product_id))
        inventory.add(product_id, quantity)
        return self.save(inventory)

    def rate(self, product_id: UUID, user_id: str, stars: int) -> Recordings:
        self.repository.get(product_id)  # refuses the rating of a product that is not there
        try:
            rating: Rating = self.repository.get(Rating.create_id(product_id, user_id))
        except AggregateNotFoundError:
            rating = Rating(product_id, user_id, stars)
        else:
            rating.rate_again(product_id, stars, rating.stars)
        return self.save(rating)

    def execute(self, command: dict[str, Any]) -> Recordings:
        """A command as `POST /commands` takes it."""
        data = command["data"]
        match command["type"]:
            case "AddNewProduct":
                return self.add_product(data)
            case "ChangePrice":
                return self.change_price(UUID(data["product_id"]), data["price"])
            case "AddToInventory":
                return self.add_to_inventory(UUID(data["product_id"]), data["quantity"])
            case "RateProduct":
                return self.rate(UUID(data["product_id"]), data["user_id"], data["rating"])
            case other:
                raise AssertionError(other)
