"""Whatever commands come, in whatever order and way: the shop is the one that its rules say, and so is its log."""

from collections.abc import Mapping
from decimal import Decimal

import pytest
from hypothesis import settings
from hypothesis.stateful import invariant, precondition, run_state_machine_as_test

from command_service.executor.states import Versioned
from contracts.streams import kind_of

from .observed import said_by_plain, said_by_states
from .plain_things import Order
from .running import SHRINKING_SECONDS, STABLE
from .trading import Trading
from .write_side import AGGREGATES, replay

pytestmark = pytest.mark.timeout(SHRINKING_SECONDS)


class Shop(Trading):
    """Each command has the answer that the plain shop gives (`Sending.settle`); after each batch holds the rest."""

    @precondition(lambda self: self.is_settled)
    @invariant()
    def all_is_as_it_must_be(self) -> None:
        replayed = replay(self.side.store.log)
        assert {stream: one for stream, one in self.side.newest.items() if one.version} == replayed
        self._is_the_plain_shop(replayed)
        self._stock_is_never_oversold(replayed)
        self._snapshots_are_true(replayed)
        for order in self.plain.orders.values():
            _refunds_are_right(order)

    def _is_the_plain_shop(self, states: Mapping[str, Versioned]) -> None:
        assert said_by_states(states, self.side.store.log) == said_by_plain(self.plain)
        assert {stream: one.version for stream, one in states.items()} == self.plain.versions

    def _stock_is_never_oversold(self, states: Mapping[str, Versioned]) -> None:
        """What orders have to themselves is what they are still to get."""
        to_ship = dict.fromkeys(self.plain.products, 0)
        for order in self.plain.orders.values():
            for line in order.lines:
                to_ship[line.product] += line.to_ship
        for product_id, wanted in to_ship.items():
            stock = states[f"inventory-{product_id}"].state
            assert stock.on_hand >= 0
            assert stock.reserved == wanted >= 0
            assert stock.available == max(0, stock.on_hand - stock.reserved)

    def _snapshots_are_true(self, states: Mapping[str, Versioned]) -> None:
        """A snapshot is the state that the stream had; and any state could be one."""
        for stream, versioned in states.items():
            adapter = AGGREGATES[kind_of(stream)].snapshot
            assert adapter.validate_json(adapter.dump_json(versioned.state)) == versioned.state
        for stream, snapshot in self.side.store.snapshots.items():
            its = [event for event in self.side.store.log if event.stream_id == stream]
            then = replay(its[: snapshot.version])[stream]
            assert AGGREGATES[kind_of(stream)].snapshot.validate_json(snapshot.state) == then.state


def _refunds_are_right(order: Order) -> None:
    refunded = sum(order.refunds, Decimal(0))
    paid = order.payment[0] if order.payment is not None else Decimal(0)
    assert 0 <= refunded <= paid
    if order.payment is not None and all(line.returned + line.cancelled == line.quantity for line in order.lines):
        assert refunded == order.total


@pytest.mark.usefixtures("frequent_snapshots")
def test_the_shop_is_the_one_that_its_rules_say() -> None:
    run_state_machine_as_test(Shop, settings=settings(STABLE, max_examples=150, stateful_step_count=50))
