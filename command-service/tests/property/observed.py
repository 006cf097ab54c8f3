"""What the code says and what the plain shop says, in the same words, so that they can be compared."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from command_service.executor.states import Versioned
from contracts.envelope import RecordedEvent
from contracts.money import from_ticks

from .plain_shop import PlainShop
from .plain_things import text

Said = dict[str, Any]
"""By stream, but for what is zero or nothing there."""


def said_by_states(states: Mapping[str, Versioned], log: Sequence[RecordedEvent]) -> Said:
    """What the states of all streams say, and of an order's money, its events."""
    said: Said = {}
    for stream_id, versioned in states.items():
        state = versioned.state
        match stream_id.partition("-")[0]:
            case "product":
                details = (state.name, state.description, state.category, state.price, state.is_discontinued)
                said[stream_id] = (versioned.version, *details)
            case "inventory":
                numbers = (state.on_hand, state.reserved, state.available, state.shortage)
                said[stream_id] = (versioned.version, *numbers)
            case "rating":
                said[stream_id] = (versioned.version, state)
            case "stockalert":
                said[stream_id] = (versioned.version, state.out_at, state.low_at)
            case "order":
                said[stream_id] = (versioned.version, *_order(state), *_money(stream_id, log))
    return {stream_id: its for stream_id, its in said.items() if its[0]}


def _order(state: Any) -> tuple[Any, ...]:
    payment = getattr(state, "payment", None)
    lines = [
        (
            line.product_id,
            line.quantity,
            from_ticks(line.unit_price),
            line.shipped,
            line.returned,
            line.quantity if state.kind == "cancelled" else line.cancelled,
        )
        for line in state.lines
    ]
    return state.kind, payment and (payment.amount, payment.reference), lines


def _money(stream_id: str, log: Sequence[RecordedEvent]) -> tuple[str, str, Decimal]:
    """Total, currency, and the sum of what was given back."""
    its = [event.data for event in log if event.stream_id == stream_id]
    refunds = [Decimal(data["refund"]) for data in its if "refund" in data]
    assert all(refund >= 0 for refund in refunds)
    return its[0]["total"], its[0]["currency"], sum(refunds, Decimal(0))


def said_by_plain(shop: PlainShop) -> Said:
    said: Said = {}
    for product_id, product in shop.products.items():
        details = (product.name, product.description, product.category, text(product.price), product.discontinued)
        said[f"product-{product_id}"] = details
        shelf = shop.shelves[product_id]
        said[f"inventory-{product_id}"] = (shelf.on_hand, shelf.reserved, shelf.available, shelf.shortage)
    for product_id, recorded in shop.alerts.items():
        said[f"stockalert-{product_id}"] = (recorded["out"], recorded["low"])
    for order_id, order in shop.orders.items():
        payment = order.payment and (text(order.payment[0]), order.payment[1])
        lines = [
            (line.product, line.quantity, text(line.price), line.shipped, line.returned, line.cancelled)
            for line in order.lines
        ]
        refunded = sum(order.refunds, Decimal(0))
        said[f"order-{order_id}"] = (order.status, payment, lines, text(order.total), shop.currency, refunded)
    for stream_id in shop.versions:
        if stream_id.startswith("rating-"):
            product_id, user = stream_id[7:43], stream_id[44:]
            said[stream_id] = (shop.ratings.get((product_id, user)),)
    return {
        stream_id: (shop.versions[stream_id], *its) for stream_id, its in said.items() if stream_id in shop.versions
    }
