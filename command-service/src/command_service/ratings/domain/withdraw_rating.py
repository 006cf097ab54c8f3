"""A user takes their rating back."""

from command_service.decider import Aggregate, Command, Decision, States, Stream, UseCase
from command_service.fields import UserId, Uuid
from command_service.problems import ProductNotFound
from contracts.events import RatingWithdrawn
from contracts.streams import product_stream

from .rating import rating


class WithdrawRating(Command):
    """The rating counts no more. Withdrawing one that isn't there changes nothing."""

    product_id: Uuid
    user_id: UserId


def decide(command: WithdrawRating, states: States, product: Stream[object]) -> Decision:
    if not product.aggregate.exists(states.of(product)):
        raise ProductNotFound(command.product_id)
    target = rating(command.product_id, command.user_id)
    given = states.of(target)
    if given is None:
        return []
    return [(target, RatingWithdrawn(user_id=command.user_id, rating=given))]


def use_case(products: Aggregate[object]) -> UseCase[WithdrawRating]:
    """`products` is how products are folded: the product must exist, whether rated or not."""

    def product(command: WithdrawRating) -> Stream[object]:
        return Stream(product_stream(command.product_id), products)

    return UseCase(
        WithdrawRating,
        target=lambda command: rating(command.product_id, command.user_id),
        reads=lambda command: (product(command),),
        decide=lambda command, states: decide(command, states, product(command)),
    )
