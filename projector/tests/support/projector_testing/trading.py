"""Random trade that the shop's rules allow: stock, prices, ratings, orders with their reservations, stock alerts."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from contracts import events, streams
from contracts.envelope import RecordedEvent
from contracts.events import LinePieces, OrderLine
from contracts.money import from_ticks, to_ticks
from projector_testing.shop import Log, add_product, order_id

LOW_STOCK = 3


@dataclass
class Stock:
    on_hand: int = 0
    reserved: int = 0

    @property
    def available(self) -> int:
        return max(0, self.on_hand - self.reserved)


@dataclass
class Order:
    """`left`, `out`: pieces by line that are still to ship, and that are with the customer."""

    lines: list[OrderLine]
    left: list[int]
    out: list[int]
    state: str = "placed"

    @property
    def total(self) -> str:
        return from_ticks(sum(line.quantity * to_ticks(line.unit_price) for line in self.lines))


@dataclass
class Trade:
    """What the log says of the shop, to know what may happen next."""

    log: Log
    products: Sequence[str]
    chance: random.Random
    stock: dict[str, Stock] = field(default_factory=dict)
    ratings: dict[tuple[str, str], int] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for event in self.log.events:
            self._follow(event)

    def step(self) -> None:
        """One thing happens."""
        actions: list[Callable[[], None]] = [
            *[self._stock] * 4,
            *[self._rating] * 3,
            *[self._product] * 4,
            *[self._place] * 3,
            *[self._order] * 8,
        ]
        self.chance.choice(actions)()

    def _add(self, stream: str, event: Any) -> None:
        self._follow(self.log.add(stream, event))

    def _stock(self) -> None:
        product = self._some_product()
        stock, quantity = self.stock[product], self.chance.randint(0, 9)
        match self.chance.randrange(3):
            case 0:
                quantity += 1
                self._move(product, events.StockAdded, stock.on_hand + quantity, stock.reserved, quantity=quantity)
            case 1:
                counts = {"counted_quantity": quantity, "previous_quantity": stock.on_hand}
                self._move(product, events.StockRecounted, quantity, stock.reserved, **counts)
            case _ if stock.available:
                left = stock.on_hand - stock.available
                self._move(product, events.ItemsShipped, left, stock.reserved, quantity=stock.available)

    def _move(self, product: str, event: type[Any], on_hand: int, reserved: int, **data: Any) -> None:
        """The stock becomes this, and an alert is recorded where it crosses a threshold."""
        before = self.stock[product].available
        available = Stock(on_hand, reserved).available
        self._add(streams.inventory_stream(product), event(available=available, **data))
        version = self.log.version(streams.inventory_stream(product))
        alerts = streams.stock_alert_stream(product)
        if before > 0 == available:
            self._add(alerts, events.StockRanOut(available=0, inventory_version=version))
        if before > LOW_STOCK >= available:
            low = events.StockRanLow(available=available, threshold=LOW_STOCK, inventory_version=version)
            self._add(alerts, low)

    def _rating(self) -> None:
        product, user = self._some_product(), f"user-{self.chance.randrange(3)}"
        stream, before = streams.rating_stream(product, user), self.ratings.get((product, user))
        if before is not None and self.chance.randrange(3) == 0:
            self._add(stream, events.RatingWithdrawn(user_id=user, rating=before))
        else:
            rated = events.ProductRated(user_id=user, rating=self.chance.randint(1, 5), replaces=before)
            self._add(stream, rated)

    def _product(self) -> None:
        stream = streams.product_stream(self._some_product())
        match self.chance.randrange(4):
            case 0:
                self._add(stream, self.chance.choice((events.ProductDiscontinued(), events.ProductRelisted())))
            case 1:
                name = f"Crème {self.chance.randrange(5)}"
                category = self.chance.choice((None, "category 1", "category 2"))
                self._add(stream, events.ProductDetailsUpdated(name=name, description="d", category=category))
            case _:
                price = f"{self.chance.randint(1, 99)}.50"
                self._add(stream, events.PriceChanged(price=price, previous_price="1.00"))

    def _place(self) -> None:
        some = self.chance.choices(self.products, k=self.chance.randint(1, 4))
        lines: list[OrderLine] = []
        for product in some:
            wanted = sum(line.quantity for line in lines if line.product_id == product)
            free = self.stock[product].available - wanted
            if free > 0:
                price = f"{self.chance.randint(1, 99)}.25"
                quantity = self.chance.randint(1, free)
                lines.append(OrderLine(product_id=product, name="Chai", quantity=quantity, unit_price=price))
        if not lines:
            return
        order = order_id(len(self.orders))
        for line in lines:
            stock = self.stock[line.product_id]
            reserved = stock.reserved + line.quantity
            self._for_order(events.StockReserved, order, line.product_id, stock.on_hand, reserved, line.quantity)
        placed = events.OrderPlaced(
            customer_id=f"customer-{self.chance.randrange(3)}",
            lines=tuple(lines),
            total=Order(lines, [], []).total,
            currency="EUR",
            payment_seconds=self.chance.choice((None, 900)),
        )
        self._add(streams.order_stream(order), placed)

    def _order(self) -> None:
        if not self.orders:
            return
        order = self.chance.choice(list(self.orders))
        stream, state = streams.order_stream(order), self.orders[order]
        match state.state, self.chance.randrange(4):
            case "placed", 0:
                self._release(order, [*state.left])
                cancelled = events.OrderCancelled(reason="changed my mind", refund="0.00")
                self._add(stream, self.chance.choice((cancelled, events.OrderExpired())))
            case "placed", _:
                self._add(stream, events.OrderPaid(amount=state.total, reference="r"))
            case "paid", 0 if not any(state.out):
                self._release(order, [*state.left])
                self._add(stream, events.OrderCancelled(reason=None, refund=state.total))
            case "paid", 1 if any(state.out) and any(state.left):
                lines = self._release(order, [*state.left])
                self._add(stream, events.RemainingItemsCancelled(lines=lines, reason="enough", refund="1.5"))
            case (("paid" | "cancelled"), (0 | 1)) if any(state.out):
                lines = self._some_of(state.out)
                restocked = self.chance.random() < 0.5
                if restocked:
                    for product, quantity in self._products(order, lines):
                        stock = self.stock[product]
                        on_hand = stock.on_hand + quantity
                        self._for_order(events.ItemsRestocked, order, product, on_hand, stock.reserved, quantity)
                self._add(stream, events.OrderItemsReturned(lines=lines, restocked=restocked, refund="2.25"))
            case "paid", _:
                lines = self._some_of([min(left, self._shelf(order, n)) for n, left in enumerate(state.left)])
                if not lines or any(q > self.stock[p].on_hand for p, q in self._products(order, lines)):
                    return
                for product, quantity in self._products(order, lines):
                    stock = self.stock[product]
                    shelf, reserved = stock.on_hand - quantity, stock.reserved - quantity
                    self._for_order(events.ReservedItemsShipped, order, product, shelf, reserved, quantity)
                self._add(stream, events.OrderItemsShipped(lines=lines))

    def _for_order(
        self, event: type[Any], order: str, product: str, on_hand: int, reserved: int, quantity: int
    ) -> None:
        self._move(product, event, on_hand, reserved, order_id=order, quantity=quantity)

    def _release(self, order: str, left: list[int]) -> tuple[LinePieces, ...]:
        lines = tuple(LinePieces(line=n, quantity=quantity) for n, quantity in enumerate(left) if quantity)
        for product, quantity in self._products(order, lines):
            stock = self.stock[product]
            reserved = stock.reserved - quantity
            self._for_order(events.ReservationReleased, order, product, stock.on_hand, reserved, quantity)
        return lines

    def _products(self, order: str, lines: tuple[LinePieces, ...]) -> Iterator[tuple[str, int]]:
        """Pieces by product, each product once."""
        pieces: dict[str, int] = {}
        for line in lines:
            product = self.orders[order].lines[line.line].product_id
            pieces[product] = pieces.get(product, 0) + line.quantity
        yield from pieces.items()

    def _shelf(self, order: str, line: int) -> int:
        return self.stock[self.orders[order].lines[line].product_id].on_hand

    def _some_of(self, pieces: list[int]) -> tuple[LinePieces, ...]:
        """All of these pieces, or some."""
        everything = self.chance.random() < 0.5
        chosen = [most if everything else self.chance.randint(0, most) for most in pieces]
        lines = tuple(LinePieces(line=n, quantity=quantity) for n, quantity in enumerate(chosen) if quantity)
        return lines or tuple(LinePieces(line=n, quantity=most) for n, most in enumerate(pieces) if most)[:1]

    def _some_product(self) -> str:
        return self.chance.choice(self.products)

    def _follow(self, event: RecordedEvent) -> None:
        """What an event means for what may come next."""
        data = event.data
        match event.type:
            case "ProductRated":
                self.ratings[event.partition_key, data["user_id"]] = data["rating"]
            case "RatingWithdrawn":
                self.ratings.pop((event.partition_key, data["user_id"]), None)
            case "OrderPlaced":
                lines = [OrderLine(**line) for line in data["lines"]]
                left = [line.quantity for line in lines]
                self.orders[event.partition_key] = Order(lines, left, [0] * len(lines))
            case "OrderPaid":
                self.orders[event.partition_key].state = "paid"
            case "OrderCancelled" | "OrderExpired" | "RemainingItemsCancelled":
                order = self.orders[event.partition_key]
                order.state, order.left = "cancelled", [0] * len(order.lines)
            case "OrderItemsShipped" | "OrderItemsReturned":
                order = self.orders[event.partition_key]
                shipped = event.type == "OrderItemsShipped"
                for pieces in data["lines"]:
                    order.left[pieces["line"]] -= pieces["quantity"] if shipped else 0
                    order.out[pieces["line"]] += pieces["quantity"] if shipped else -pieces["quantity"]
            case _ if event.stream_id == streams.inventory_stream(event.partition_key):
                self._follow_stock(self.stock.setdefault(event.partition_key, Stock()), event)

    def _follow_stock(self, stock: Stock, event: RecordedEvent) -> None:
        data = event.data
        match event.type:
            case "StockRecounted":
                stock.on_hand = data["counted_quantity"]
            case "StockReserved":
                stock.reserved += data["quantity"]
            case "ReservationReleased":
                stock.reserved -= data["quantity"]
            case "ReservedItemsShipped":
                stock.on_hand -= data["quantity"]
                stock.reserved -= data["quantity"]
            case "ItemsShipped":
                stock.on_hand -= data["quantity"]
            case _:
                stock.on_hand += data["quantity"]


def trade(log: Log, products: Sequence[str], how_much: int, seed: int) -> Log:
    """Adds at least `how_much` random events that the shop's rules allow to products that were added."""
    going_on = Trade(log, products, random.Random(seed))
    enough = log.settled + how_much
    while log.settled < enough:
        going_on.step()
    return log


def shop(products: int = 5, traded: int = 60, seed: int = 1) -> Log:
    log = Log()
    ids = [add_product(log, number) for number in range(1, products + 1)]
    return trade(log, ids, traded, seed)
