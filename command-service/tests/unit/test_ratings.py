"""The ratings' rules."""

import pytest

from command_service.decider import Command
from command_service.problems import ProductNotFound
from command_service.ratings.domain.rate_product import RateProduct
from command_service.ratings.domain.withdraw_rating import WithdrawRating
from contracts.events import Event, ProductAdded, ProductDiscontinued, ProductRated, RatingWithdrawn

from .support import CASES, PRODUCT, Given

STREAM = f"rating-{PRODUCT}-ann"
ADDED = ProductAdded(name="Chai", description=None, price="18.00", currency="EUR", sku=None, category=None)


def rate(stars: int, user: str = "ann") -> Command:
    return RateProduct(product_id=PRODUCT, user_id=user, rating=stars)


def withdraw() -> Command:
    return WithdrawRating(product_id=PRODUCT, user_id="ann")


def rated(*ratings: Event, product: tuple[Event, ...] = (ADDED,)) -> Given:
    return Given({f"product-{PRODUCT}": product, STREAM: ratings})


FOUR = ProductRated(user_id="ann", rating=4)


def test_a_new_rating_replaces_the_same_users_old_one() -> None:
    assert rated().when(rate(4)) == [(STREAM, FOUR)]
    assert rated(FOUR).when(rate(5)) == [(STREAM, ProductRated(user_id="ann", rating=5, replaces=4))]
    assert rated(FOUR).when(rate(5, "bob")) == [
        (f"rating-{PRODUCT}-bob", ProductRated(user_id="bob", rating=5, replaces=None))
    ]


def test_the_same_rating_again_changes_nothing() -> None:
    assert rated(FOUR).when(rate(4)) == []


def test_a_withdrawn_rating_counts_no_more_and_can_be_given_again() -> None:
    gone = RatingWithdrawn(user_id="ann", rating=4)
    assert rated(FOUR).when(withdraw()) == [(STREAM, gone)]
    assert rated(FOUR, gone).when(withdraw()) == []
    assert rated(FOUR, gone).when(rate(4)) == [(STREAM, FOUR)]


def test_withdrawing_what_was_never_given_changes_nothing() -> None:
    assert rated().when(withdraw()) == []


def test_a_discontinued_product_can_be_rated() -> None:
    assert rated(product=(ADDED, ProductDiscontinued())).when(rate(1)) == [
        (STREAM, ProductRated(user_id="ann", rating=1))
    ]


@pytest.mark.parametrize("command", [rate(4), withdraw()])
def test_only_what_was_added_can_be_rated(command: Command) -> None:
    assert isinstance(rated(FOUR, product=()).refuses(command), ProductNotFound)


@pytest.mark.parametrize("command", [rate(4), withdraw()])
def test_a_rating_reads_its_product_and_writes_only_itself(command: Command) -> None:
    case = CASES[type(command)]
    assert [stream.id for stream in case.reads(command)] == [f"product-{PRODUCT}"]
    assert (case.target(command).id, case.also_writes(command)) == (STREAM, ())
