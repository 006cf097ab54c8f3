"""The plain shop's orders: what each command does to them, and to the stock, once it is let in."""

from decimal import ROUND_HALF_UP, Decimal

from .plain_goods import PlainGoods
from .plain_things import Data, Line, Order, Refused, fill, pieces_by_product, text

DECIMALS = {"EUR": 2, "JPY": 0, "KWD": 3}
TOO_LARGE = Decimal(10) ** 11
EXPIRED = "payment deadline passed"


class PlainOrders(PlainGoods):
    """The rules of the commands about orders. A rule refuses before it changes."""

    def __init__(self, currency: str) -> None:
        super().__init__()
        self.currency = currency

    def place_order(self, data: Data) -> None:
        if data["id"] in self.orders:
            raise Refused("order-exists")
        wanted = list(dict.fromkeys(line["product_id"] for line in data["lines"]))
        discontinued = [product_id for product_id in wanted if self.products[product_id].discontinued]
        if discontinued:
            raise Refused("product-discontinued", product_ids=discontinued)
        self._refuse_other_prices(data["lines"])
        lines = [self._line(line) for line in data["lines"]]
        total = self.round(sum((line.quantity * line.price for line in lines), Decimal(0)))
        if total >= TOO_LARGE:
            raise Refused("order-too-large")
        pieces = pieces_by_product((line, line.quantity) for line in lines)
        self.refuse_short(pieces, lambda shelf: shelf.available)
        self.orders[data["id"]] = Order(data["customer_id"], lines, total)
        self.happened(f"order-{data['id']}")
        for product_id, quantity in pieces.items():
            self.stock(product_id, reserved=quantity)

    def _refuse_other_prices(self, lines: list[Data]) -> None:
        changed = [
            {
                "product_id": line["product_id"],
                "expected_price": text(Decimal(line["expected_price"])),
                "price": text(self.products[line["product_id"]].price),
            }
            for line in lines
            if "expected_price" in line and Decimal(line["expected_price"]) != self.products[line["product_id"]].price
        ]
        if changed:
            raise Refused("price-changed", lines=changed)

    def _line(self, line: Data) -> Line:
        product = self.products[line["product_id"]]
        price = Decimal(line["unit_price"]) if "unit_price" in line else product.price
        return Line(line["product_id"], product.name, line["quantity"], price)

    def round(self, amount: Decimal) -> Decimal:
        return amount.quantize(Decimal(1).scaleb(-DECIMALS[self.currency]), ROUND_HALF_UP)

    def confirm_payment(self, data: Data) -> None:
        order, amount = self.orders[data["order_id"]], Decimal(data["amount"])
        if order.payment == (amount, data["reference"]):
            return
        if order.status != "placed":
            raise Refused("order-not-payable")
        if amount != order.total:
            raise Refused("amount-mismatch", amount=text(amount), total=text(order.total))
        order.status, order.payment = "paid", (amount, data["reference"])
        self.happened(f"order-{data['order_id']}")
        self.day.orders += 1
        self.day.units += sum(line.quantity for line in order.lines)
        self.day.revenue += amount

    def ship_order(self, data: Data) -> None:
        order = self.orders[data["order_id"]]
        if order.status not in ("paid", "partially_shipped"):
            raise Refused("order-not-shippable")
        if "lines" in data:
            shipped = fill(order.lines, data["lines"], lambda line: line.to_ship)
            if shipped is None:
                raise Refused("order-not-shippable")
        else:
            shipped = [line.to_ship for line in order.lines]
        pieces = pieces_by_product(zip(order.lines, shipped, strict=True))
        self.refuse_short(pieces, lambda shelf: shelf.on_hand)
        for line, quantity in zip(order.lines, shipped, strict=True):
            line.shipped += quantity
        order.settle_status()
        self.happened(f"order-{data['order_id']}")
        for product_id, quantity in pieces.items():
            self.stock(product_id, on_hand=-quantity, reserved=-quantity)

    def cancel_order(self, data: Data) -> None:
        order = self.orders[data["order_id"]]
        if order.status == "cancelled":
            return
        if not order.is_open():
            raise Refused("order-not-cancellable")
        self._cancel_what_is_left(data["order_id"], order)
        order.reason = data.get("reason")
        if order.status == "partially_shipped":
            order.settle_status()
        else:
            order.status = "cancelled"
            self.day.cancelled_orders += 1
        if order.payment is not None:
            self._refund(order)

    def expire_order(self, data: Data) -> None:
        order = self.orders[data["order_id"]]
        if order.status == "placed":
            self._cancel_what_is_left(data["order_id"], order)
            order.status, order.reason = "cancelled", EXPIRED
            self.day.cancelled_orders += 1

    def _cancel_what_is_left(self, order_id: str, order: Order) -> None:
        pieces = pieces_by_product((line, line.to_ship) for line in order.lines)
        for line in order.lines:
            line.cancelled += line.to_ship
        self.happened(f"order-{order_id}")
        for product_id, quantity in pieces.items():
            self.stock(product_id, reserved=-quantity)

    def return_items(self, data: Data) -> None:
        order = self.orders[data["order_id"]]
        if order.status in ("placed", "paid", "cancelled"):
            raise Refused("order-not-returnable")
        returned = fill(order.lines, data["lines"], lambda line: line.with_customer)
        if returned is None:
            raise Refused("order-not-returnable")
        for line, quantity in zip(order.lines, returned, strict=True):
            line.returned += quantity
        order.settle_status()
        self.happened(f"order-{data['order_id']}")
        self.day.returned_units += sum(returned)
        self._refund(order)
        if data.get("restock", True):
            for product_id, quantity in pieces_by_product(zip(order.lines, returned, strict=True)).items():
                self.stock(product_id, on_hand=quantity)

    def _refund(self, order: Order) -> None:
        """All that the customer has not got, or not any more, is worth; less what was given back before."""
        due = self.round(sum((line.price * (line.returned + line.cancelled) for line in order.lines), Decimal(0)))
        refund = due - sum(order.refunds, Decimal(0))
        order.refunds.append(refund)
        self.day.refunds += refund
