"""The names of streams, and the partition key that each belongs to.

A product, its inventory, its ratings and its stock alerts share a partition key (the product's id), so that their
events keep one order.
"""

from uuid import UUID

_UUID_LENGTH = 36


def product_stream(product_id: UUID | str) -> str:
    return f"product-{product_id}"


def inventory_stream(product_id: UUID | str) -> str:
    return f"inventory-{product_id}"


def rating_stream(product_id: UUID | str, user_id: str) -> str:
    return f"rating-{product_id}-{user_id}"


def order_stream(order_id: UUID | str) -> str:
    return f"order-{order_id}"


def stock_alert_stream(product_id: UUID | str) -> str:
    return f"stockalert-{product_id}"


def kind_of(stream_id: str) -> str:
    """What the stream is of: ``product``, ``inventory``, ``rating``, ``stockalert`` or ``order``."""
    return stream_id.partition("-")[0]


def partition_key_of(stream_id: str) -> str:
    """The id behind the kind: an order's for orders, a product's for all others."""
    start = stream_id.index("-") + 1
    return stream_id[start : start + _UUID_LENGTH]
