"""`OrderSummary`: an order in a list of orders, made from its `OrderDetails` alone."""

from contracts.documents import OrderDetails, OrderSummary


def summarise(order: OrderDetails) -> OrderSummary:
    return OrderSummary(
        id=order.id,
        customer_id=order.customer_id,
        status=order.status,
        total=order.total,
        currency=order.currency,
        line_count=len(order.lines),
        placed_at=order.placed_at,
    )
