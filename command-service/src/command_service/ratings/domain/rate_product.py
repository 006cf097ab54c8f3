"""A user rates a product, or changes their mind."""

from command_service.decider import Aggregate, Command, Decision, States, Stream, UseCase
from command_service.fields import Stars, UserId, Uuid
from command_service.problems import ProductNotFound
from contracts.events import ProductRated
from contracts.streams import product_stream

from .rating import rating


class RateProduct(Command):
    """`user_id` gives `rating` stars. The same user's new rating replaces the old."""

    product_id: Uuid
    user_id: UserId
    rating: Stars


def decide(command: RateProduct, states: States, product: Stream[object]) -> Decision:
    if not product.aggregate.exists(states.of(product)):
        raise ProductNotFound(command.product_id)
    target = rating(command.product_id, command.user_id)
    given = states.of(target)
    if given == command.rating:
        return []
    return [(target, ProductRated(user_id=command.user_id, rating=command.rating, replaces=given))]


def use_case(products: Aggregate[object]) -> UseCase[RateProduct]:
    """`products` is how products are folded: only what exists can be rated."""

    def product(command: RateProduct) -> Stream[object]:
        return Stream(product_stream(command.product_id), products)

    return UseCase(
        RateProduct,
        target=lambda command: rating(command.product_id, command.user_id),
        reads=lambda command: (product(command),),
        decide=lambda command, states: decide(command, states, product(command)),
    )
