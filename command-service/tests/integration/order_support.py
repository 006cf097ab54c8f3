"""Orders for executors on a real database, and commands that are accepted for later."""

from collections.abc import Sequence
from typing import Any

import asyncpg
import orjson

from chassis.ids import new_id
from command_service.bootstrap import command_reader
from command_service.decider import Command
from command_service.envelope import CommandEnvelope, Origin
from command_service.orders.domain.cancel_order import CancelOrder
from command_service.orders.domain.confirm_payment import ConfirmPayment
from command_service.orders.domain.place_order import PlaceOrder
from command_service.orders.domain.return_items import ReturnItems
from command_service.orders.domain.ship_order import ShipOrder
from command_service.queue.accepting import Acceptor
from command_service.queue.documents import message_of

from .support import PARTITIONS, Client, envelope, product


async def stocked(client: Client, count: int = 1, stock: int = 10) -> list[str]:
    """The ids of so many new products at 1.00, each with so many pieces."""
    items = [product(price="1.00", initial_stock=stock) for _ in range(count)]
    await client.succeed(*items)
    return [item.product_id for item in items]


def place(*product_ids: str, quantity: int = 1, order_id: str | None = None) -> PlaceOrder:
    lines = [{"product_id": one, "quantity": quantity} for one in product_ids]
    return PlaceOrder.model_validate({"id": order_id or new_id(), "customer_id": "ann", "lines": lines})


def pay(order: PlaceOrder) -> ConfirmPayment:
    amount = f"{sum(line.quantity for line in order.lines)}.00"
    return ConfirmPayment(order_id=order.order_id, amount=amount, reference="card")


def ship(order: PlaceOrder) -> ShipOrder:
    return ShipOrder(order_id=order.order_id)


def cancel(order: PlaceOrder) -> CancelOrder:
    return CancelOrder(order_id=order.order_id)


def take_back(order: PlaceOrder) -> ReturnItems:
    """All of it."""
    lines = [{"product_id": line.product_id, "quantity": line.quantity} for line in order.lines]
    return ReturnItems.model_validate({"order_id": order.order_id, "lines": lines})


async def paid(client: Client, *product_ids: str, quantity: int = 1) -> PlaceOrder:
    """A new order that waits to be shipped."""
    order = place(*product_ids, quantity=quantity)
    await client.succeed(order)
    await client.succeed(pay(order))
    return order


def acceptor(client: Client) -> Acceptor:
    return Acceptor(client.executor, PARTITIONS)


def queued(command_type: str, data: dict[str, Any], key: str | None = None, **more: Any) -> CommandEnvelope:
    """A command as `POST /commands` takes it."""
    document = {"type": command_type, "data": data, "id": key, **more}
    return command_reader().read(document, Origin("test", "test", envelope(product()).submitted_at))


def add(product_id: str, quantity: int, key: str | None = None) -> CommandEnvelope:
    return queued("AddToInventory", {"product_id": product_id, "quantity": quantity}, key)


def body(*envelopes: CommandEnvelope) -> bytes:
    """They are on the broker like this."""
    return orjson.dumps([message_of(one) for one in envelopes])


async def stock_of(sql: asyncpg.Connection, product_id: str) -> tuple[int, int]:
    """(on the shelf, reserved), by the log."""
    on_hand = reserved = 0
    rows = await sql.fetch(
        "SELECT type, data FROM events WHERE stream_id = $1 ORDER BY version", f"inventory-{product_id}"
    )
    for row in rows:
        quantity = orjson.loads(row["data"]).get("quantity", 0)
        match row["type"]:
            case "InventoryOpened" | "StockAdded" | "ItemsRestocked":
                on_hand += quantity
            case "ItemsShipped":
                on_hand -= quantity
            case "StockReserved":
                reserved += quantity
            case "ReservationReleased":
                reserved -= quantity
            case "ReservedItemsShipped":
                on_hand, reserved = on_hand - quantity, reserved - quantity
            case other:
                raise AssertionError(other)
    return on_hand, reserved


async def receipts(sql: asyncpg.Connection) -> dict[str, str]:
    """Command id → status."""
    return {row["command_id"]: row["status"] for row in await sql.fetch("SELECT command_id, status FROM receipts")}


def statuses(outcomes: Sequence[Any]) -> list[str]:
    return [outcome.status for outcome in outcomes]


async def send_all(client: Client, *commands: Command) -> list[str]:
    """The statuses of commands that are sent one after the other."""
    return statuses([await client.send(command) for command in commands])
