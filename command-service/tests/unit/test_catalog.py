"""The catalogue's rules."""

import pytest

from command_service.catalog.domain.add_new_product import AddNewProduct
from command_service.catalog.domain.change_price import ChangePrice
from command_service.catalog.domain.discontinue_product import DiscontinueProduct
from command_service.catalog.domain.relist_product import RelistProduct
from command_service.catalog.domain.update_product_details import UpdateProductDetails
from command_service.decider import Command
from command_service.problems import ProductExists, ProductNotFound, SkuTaken
from contracts.events import (
    Event,
    InventoryOpened,
    PriceChanged,
    ProductAdded,
    ProductDetailsUpdated,
    ProductDiscontinued,
    ProductRelisted,
)

from .support import CASES, PRODUCT, Given

STREAM = f"product-{PRODUCT}"
ADDED = ProductAdded(name="Chai", description="Tea", price="18.00", currency="EUR", sku="NW-1", category="Beverages")


def given(*events: Event) -> Given:
    return Given({STREAM: (ADDED, *events)})


def add(**data: object) -> AddNewProduct:
    return AddNewProduct.model_validate({"id": PRODUCT, "name": "Chai", "price": "18", **data})


def update(**data: object) -> UpdateProductDetails:
    return UpdateProductDetails.model_validate({"product_id": PRODUCT, **data})


def test_a_new_product_comes_with_its_inventory_in_the_shops_currency() -> None:
    command = add(sku="NW-1", description="Tea", category="Beverages", initial_stock=39)
    assert Given().when(command) == [(STREAM, ADDED), (f"inventory-{PRODUCT}", InventoryOpened(quantity=39))]
    assert CASES[AddNewProduct].claims(command) == ("sku:NW-1",)
    assert CASES[AddNewProduct].result(command) == {"id": PRODUCT}


def test_a_product_needs_no_more_than_a_name_and_a_price() -> None:
    [(_, added), (_, opened)] = Given().when(add())
    assert added == ProductAdded(name="Chai", description=None, price="18.00", currency="EUR", sku=None, category=None)
    assert opened == InventoryOpened(quantity=0)
    assert CASES[AddNewProduct].claims(add()) == ()


def test_an_id_can_be_used_once_even_when_the_sku_is_taken_too() -> None:
    shop = Given({STREAM: [ADDED, ProductDiscontinued()]}, {"sku:NW-1": STREAM})
    assert isinstance(shop.refuses(add(sku="NW-1")), ProductExists)


def test_a_sku_belongs_to_one_product_and_is_compared_exactly() -> None:
    shop = Given(claims={"sku:NW-1": "product-another"})
    assert isinstance(shop.refuses(add(sku="NW-1")), SkuTaken)
    assert len(shop.when(add(sku="nw-1"))) == 2


def test_the_server_makes_an_id_only_where_the_client_left_it_out() -> None:
    assert add(id=None).identified("new") == add(id=None).model_copy(update={"id": "new"})
    assert add().identified("new") == add()


@pytest.mark.parametrize(
    ("command", "event"),
    [
        (update(name="Masala"), ProductDetailsUpdated(name="Masala", description="Tea", category="Beverages")),
        (update(description=None), ProductDetailsUpdated(name="Chai", description=None, category="Beverages")),
        (update(category=None), ProductDetailsUpdated(name="Chai", description="Tea", category=None)),
        (
            update(name="Masala", description="", category="Tea"),
            ProductDetailsUpdated(name="Masala", description="", category="Tea"),
        ),
        (ChangePrice(product_id=PRODUCT, price="0"), PriceChanged(price="0.00", previous_price="18.00")),
        (DiscontinueProduct(product_id=PRODUCT), ProductDiscontinued()),
    ],
)
def test_a_change_is_recorded_and_what_is_absent_keeps_its_value(command: Command, event: Event) -> None:
    assert given().when(command) == [(STREAM, event)]
    assert given(ProductDiscontinued(), ProductRelisted()).when(command) == [(STREAM, event)]


@pytest.mark.parametrize(
    "command",
    [
        update(name="Chai"),
        update(name="Chai", description="Tea", category="Beverages"),
        ChangePrice(product_id=PRODUCT, price="18.0"),
        RelistProduct(product_id=PRODUCT),
    ],
)
def test_what_changes_nothing_leads_to_no_event(command: Command) -> None:
    assert given().when(command) == []


def test_a_discontinued_product_can_be_changed_and_relisted_and_not_discontinued_again() -> None:
    shop = given(ProductDiscontinued())
    assert shop.when(DiscontinueProduct(product_id=PRODUCT)) == []
    assert shop.when(RelistProduct(product_id=PRODUCT)) == [(STREAM, ProductRelisted())]
    assert len(shop.when(ChangePrice(product_id=PRODUCT, price="1"))) == 1
    assert len(shop.when(update(name="Gone"))) == 1


def test_the_newest_state_decides() -> None:
    shop = given(PriceChanged(price="20.00", previous_price="18.00"))
    assert shop.when(ChangePrice(product_id=PRODUCT, price="20")) == []
    assert shop.when(ChangePrice(product_id=PRODUCT, price="18")) == [
        (STREAM, PriceChanged(price="18.00", previous_price="20.00"))
    ]


@pytest.mark.parametrize(
    "command",
    [
        update(name="x"),
        ChangePrice(product_id=PRODUCT, price="1"),
        DiscontinueProduct(product_id=PRODUCT),
        RelistProduct(product_id=PRODUCT),
    ],
)
def test_what_was_never_added_is_not_found(command: Command) -> None:
    assert isinstance(Given().refuses(command), ProductNotFound)


def test_the_content_of_a_patch_tells_null_from_absent() -> None:
    assert update(name="x").content() != update(name="x", category=None).content()
    assert add(description=None).content() == add().content()
    assert add(price=18).content() == add(price="18.00").content()
