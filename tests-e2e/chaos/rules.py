"""The rules of the shop, held against the log: stock, reservations, orders, alerts."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

from chaos.log import Logged
from chaos.matrix import AFTERWARDS
from chaos.record import Record

LOW_STOCK: Final = 5


def check(events: Sequence[Logged], record: Record) -> None:
    """Stock is never below zero nor oversold, and what is reserved is what open orders have not been sent yet."""
    matrix = record.matrix
    stock: dict[str, list[int]] = {}
    open_pieces: defaultdict[str, Counter[str]] = defaultdict(Counter)
    by_order: defaultdict[str, list[str]] = defaultdict(list)
    for event in events:
        if event.stream.startswith("order-"):
            by_order[event.key].append(event.type)
        if not event.stream.startswith("inventory-"):
            continue
        on_hand, reserved = stock.get(event.key, [0, 0])
        available = max(0, on_hand - reserved)
        quantity = event.data.get("quantity", 0)
        match event.type:
            case "InventoryOpened" | "StockAdded" | "ItemsRestocked":
                on_hand += quantity
            case "StockRecounted":
                on_hand = event.data["counted_quantity"]
            case "ItemsShipped":
                on_hand -= quantity
            case "StockReserved":
                reserved += quantity
                open_pieces[event.key][event.data["order_id"]] += quantity
            case "ReservationReleased" | "ReservedItemsShipped":
                reserved -= quantity
                on_hand -= quantity if event.type == "ReservedItemsShipped" else 0
                open_pieces[event.key][event.data["order_id"]] -= quantity
        if event.type in ("StockReserved", "ItemsShipped") and quantity > available:
            matrix.find("doubled", f"{event} took more than {available}", record.during(event.command))
        if on_hand < 0 or reserved < 0 or min(open_pieces[event.key].values(), default=0) < 0:
            matrix.find("doubled", f"{event} left {on_hand} pieces, {reserved} reserved", AFTERWARDS)
        stock[event.key] = [on_hand, reserved]
    unshipped = _unshipped(events)
    for product, (_, reserved) in stock.items():
        if +open_pieces[product] != +unshipped[product] or reserved != unshipped[product].total():
            what = f"{product} has {reserved} reserved as {open_pieces[product]}, orders wait for {unshipped[product]}"
            matrix.find("lost", what, AFTERWARDS)
    for order, types in by_order.items():
        if types[0] != "OrderPlaced" or types.count("OrderPlaced") + types.count("OrderPaid") > 2:
            matrix.find("doubled", f"order {order} went through {types}", AFTERWARDS)
    for order in record.not_payable:
        if by_order[order] != ["OrderPlaced", "OrderExpired"]:
            matrix.find("failed", f"order {order} was not payable, and went through {by_order[order]}", AFTERWARDS)


def _unshipped(events: Sequence[Logged]) -> defaultdict[str, Counter[str]]:
    """Product → order → pieces that are still to be shipped, from the orders' own events."""
    lines: dict[str, list[tuple[str, int]]] = {}
    for event in events:
        match event.type:
            case "OrderPlaced":
                lines[event.key] = [(line["product_id"], line["quantity"]) for line in event.data["lines"]]
            case "OrderItemsShipped" | "RemainingItemsCancelled":
                for change in event.data["lines"]:
                    product, left = lines[event.key][change["line"]]
                    lines[event.key][change["line"]] = (product, left - change["quantity"])
            case "OrderCancelled" | "OrderExpired":
                lines[event.key] = []
    unshipped: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for order, its in lines.items():
        for product, left in its:
            unshipped[product][order] += left
    return unshipped


def unpaid(events: Iterable[Logged]) -> list[str]:
    """Orders that are still only placed."""
    placed: dict[str, bool] = {}
    for event in events:
        if event.stream.startswith("order-"):
            placed[event.key] = event.type == "OrderPlaced"
    return [order for order, is_placed in placed.items() if is_placed]


def alerts(events: Iterable[Logged]) -> Counter[tuple[str, str, int]]:
    """(product, alert, version of its inventory), as they were recorded."""
    return Counter(
        (event.key, event.type, event.data["inventory_version"])
        for event in events
        if event.stream.startswith("stockalert-")
    )


def alerts_due(events: Iterable[Logged]) -> Counter[tuple[str, str, int]]:
    """The same, as they must have been."""
    due: Counter[tuple[str, str, int]] = Counter()
    available: dict[str, int] = {}
    for event in events:
        if not event.stream.startswith("inventory-"):
            continue
        after = event.data["quantity"] if event.type == "InventoryOpened" else event.data["available"]
        before = available.get(event.key)
        available[event.key] = after
        for name, threshold in (("StockRanLow", LOW_STOCK), ("StockRanOut", 0)):
            if before is not None and before > threshold >= after:
                due[event.key, name, event.version] += 1
    return due
