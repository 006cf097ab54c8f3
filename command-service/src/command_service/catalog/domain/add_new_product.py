"""Add a product to the shop, with its first stock."""

from command_service.decider import Aggregate, Command, Decision, States, Stream, UseCase
from command_service.fields import Category, Count, Description, Money, Name, Sku, Uuid
from command_service.problems import ProductExists, SkuTaken
from contracts.events import InventoryOpened, ProductAdded
from contracts.streams import inventory_stream

from .product import product


class AddNewProduct(Command):
    """Put a new product into the catalogue. Its id may be chosen here; else the server makes a UUIDv7."""

    name: Name
    description: Description | None = None
    price: Money
    sku: Sku | None = None
    category: Category | None = None
    initial_stock: Count = 0
    id: Uuid | None = None

    def identified(self, new_id: str) -> "AddNewProduct":
        return self if self.id is not None else self.model_copy(update={"id": new_id})

    @property
    def product_id(self) -> str:
        assert self.id is not None, "a command is identified before it is decided"
        return self.id


def sku_claim(sku: str) -> str:
    return f"sku:{sku}"


def decide(command: AddNewProduct, states: States, currency: str, inventory: Stream[object]) -> Decision:
    target = product(command.product_id)
    if states.of(target) is not None:
        raise ProductExists(command.product_id)
    if command.sku is not None and states.owner(sku_claim(command.sku)) is not None:
        raise SkuTaken(command.sku)
    added = ProductAdded(
        name=command.name,
        description=command.description,
        price=command.price,
        currency=currency,
        sku=command.sku,
        category=command.category,
    )
    return [(target, added), (inventory, InventoryOpened(quantity=command.initial_stock))]


def use_case(currency: str, inventory: Aggregate[object]) -> UseCase[AddNewProduct]:
    """`inventory` is how the stock of a product is folded: adding a product opens its inventory in the same commit."""

    def stock(command: AddNewProduct) -> Stream[object]:
        return Stream(inventory_stream(command.product_id), inventory)

    return UseCase(
        AddNewProduct,
        target=lambda command: product(command.product_id),
        also_writes=lambda command: (stock(command),),
        claims=lambda command: (sku_claim(command.sku),) if command.sku is not None else (),
        decide=lambda command, states: decide(command, states, currency, stock(command)),
        result=lambda command: {"id": command.product_id},
    )
