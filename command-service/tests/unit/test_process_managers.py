"""Given events, then commands and timers: the process managers, without any server."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from command_service.decider import Command
from command_service.orders.domain.expire_order import ExpireOrder
from command_service.processes.manager import ProcessManager, Timer
from command_service.processes.payment_deadline import PAYMENT_DEADLINES
from command_service.processes.stock_alerts import stock_alerts
from command_service.stock_alerts.domain.record_stock_alert import RecordStockAlert
from contracts.envelope import Metadata, RecordedEvent, rfc3339
from contracts.events import (
    Event,
    InventoryOpened,
    ItemsShipped,
    OrderCancelled,
    OrderExpired,
    OrderItemsShipped,
    OrderPaid,
    OrderPlaced,
    ReservationReleased,
    StockAdded,
    StockRecounted,
    StockReserved,
)
from contracts.streams import inventory_stream, order_stream

ID = "0190a5f0-7c3e-7b1a-9d2e-3f4a5b6c7d8e"
PLACED_AT = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)


@dataclass
class Followed:
    """What came of one stream."""

    state: Any
    due_at: datetime | None = None
    commands: list[Command] = field(default_factory=list)


def follow(manager: ProcessManager[Any], stream_id: str, events: Sequence[Event]) -> Followed:
    followed = Followed(manager.initial)
    for version, event in enumerate(events, start=1):
        if type(event) not in manager.concerned:
            continue
        recorded = RecordedEvent(
            position=version,
            stream_id=stream_id,
            version=version,
            partition_key=ID,
            type=event.type,
            schema_version=event.schema_version,
            data={},
            time="told afterwards",
            recorded_at=rfc3339(PLACED_AT),
            metadata=Metadata("c", "i", "o", "a"),
        )
        reaction = manager.react(followed.state, event, recorded)
        followed.state = reaction.state
        followed.commands += reaction.commands
        if reaction.timer is not Timer.KEPT:
            followed.due_at = None if reaction.timer is Timer.CLEARED else reaction.timer
        assert manager.state.validate_json(manager.state.dump_json(followed.state)) == followed.state
    return followed


def placed(payment_seconds: int | None) -> OrderPlaced:
    return OrderPlaced(customer_id="c", lines=(), total="1.00", currency="EUR", payment_seconds=payment_seconds)


def orders(*events: Event) -> Followed:
    return follow(PAYMENT_DEADLINES, order_stream(ID), events)


def test_an_order_is_due_its_seconds_after_it_was_recorded() -> None:
    assert orders(placed(900)).due_at == PLACED_AT + timedelta(seconds=900)


def test_an_order_of_the_past_is_never_due() -> None:
    assert orders(placed(None)).due_at is None


def test_an_order_that_is_paid_cancelled_or_expired_is_not_due_any_more() -> None:
    ends = [OrderPaid(amount="1.00", reference="r"), OrderCancelled(reason=None, refund="0.00"), OrderExpired()]
    for end in ends:
        followed = orders(placed(900), end, OrderItemsShipped(lines=()))
        assert (followed.due_at, followed.commands) == (None, [])


def test_what_is_due_is_that_the_order_expires() -> None:
    assert PAYMENT_DEADLINES.on_due is not None
    assert PAYMENT_DEADLINES.on_due(order_stream(ID), "awaited") == ExpireOrder(order_id=ID)


def stock(low_stock: int, *events: Event) -> list[tuple[int, int, int]]:
    """The alerts: threshold, what was available, by which version."""
    commands = follow(stock_alerts(low_stock), inventory_stream(ID), events).commands
    alerts = [command for command in commands if isinstance(command, RecordStockAlert)]
    assert len(alerts) == len(commands)
    assert {alert.product_id for alert in alerts} <= {ID}
    return [(alert.threshold, alert.available, alert.inventory_version) for alert in alerts]


def reserved(available: int) -> StockReserved:
    return StockReserved(available=available, order_id=ID, quantity=1)


def test_a_product_runs_low_and_runs_out_once_each() -> None:
    falling = [InventoryOpened(quantity=7), *(reserved(left) for left in (6, 5, 4, 1, 0, 0))]
    assert stock(5, *falling) == [(5, 5, 3), (0, 0, 6)]


def test_one_event_may_cross_both_thresholds() -> None:
    assert stock(5, InventoryOpened(quantity=9), reserved(0)) == [(5, 0, 2), (0, 0, 2)]


def test_a_product_alerts_again_after_it_has_risen_above() -> None:
    events = [InventoryOpened(quantity=6), reserved(5), ReservationReleased(available=6, order_id=ID, quantity=1)]
    assert stock(5, *events, reserved(5)) == [(5, 5, 2), (5, 5, 4)]


def test_opening_an_inventory_crosses_nothing() -> None:
    assert stock(5, InventoryOpened(quantity=0)) == stock(5, InventoryOpened(quantity=3)) == []


def test_with_the_threshold_0_nothing_runs_low() -> None:
    assert stock(0, InventoryOpened(quantity=2), reserved(1), reserved(0)) == [(0, 0, 3)]


def test_events_from_before_reservations_are_counted() -> None:
    events = [
        InventoryOpened(quantity=4),
        StockAdded(available=None, quantity=4),
        ItemsShipped(available=None, quantity=2),
        ItemsShipped(available=None, quantity=1),
        StockRecounted(available=None, counted_quantity=0, previous_quantity=5),
    ]
    assert stock(5, *events) == [(5, 5, 4), (0, 0, 5)]


@given(st.integers(0, 9), st.lists(st.integers(0, 12), max_size=30), st.integers(0, 9))
def test_there_are_as_many_alerts_as_crossings(opened: int, levels: list[int], low_stock: int) -> None:
    history = [opened, *levels]
    for threshold in {0, low_stock}:
        crossings = sum(a > threshold >= b for a, b in zip(history, levels, strict=False))
        alerts = stock(low_stock, InventoryOpened(quantity=opened), *(reserved(level) for level in levels))
        assert sum(alert[0] == threshold for alert in alerts) == crossings
