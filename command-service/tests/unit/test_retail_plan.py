"""The rules of the retail import, one by one: given lines of the file, then commands or the reason for none."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest

from command_service.retail.left_out import LeftOut, Rule
from command_service.retail.lines import File, Line
from command_service.retail.plan import Command, Plan, plan_import, product_id
from contracts.money import to_ticks


def line(
    invoice: str,
    code: str,
    quantity: int,
    price: str,
    at: str = "2010-12-01T08:26",
    customer: str = "17850",
    description: str = "TEA POT",
) -> Line:
    """A line of the file; it gets its number in `plan`."""
    ticks = -to_ticks(price[1:]) if price.startswith("-") else to_ticks(price)
    moment = datetime.fromisoformat(at).replace(tzinfo=UTC)
    return Line(0, invoice, code.upper(), code, description, quantity, moment, ticks, customer)


def plan(*lines: Line, decimals: int = 2) -> Plan:
    return plan_import(File(tuple(_numbered(lines)), ()), decimals)


def _numbered(lines: Iterable[Line]) -> Iterable[Line]:
    for number, one in enumerate(lines, 2):
        yield Line(number, *(getattr(one, name) for name in Line.__slots__[1:]))


def commands(planned: Plan, type_: str) -> list[Command]:
    return [c for barrier in planned.barriers for c in barrier.commands if c.type == type_]


def data(planned: Plan, type_: str) -> list[dict[str, Any]]:
    return [command.data for command in commands(planned, type_)]


def test_a_sale_is_placed_paid_and_shipped_at_its_date_in_this_order() -> None:
    planned = plan(line("1", "A", 6, "2.55"), line("1", "B", 1, "0.5"))
    orders = planned.barriers[2].commands
    assert [command.type for command in orders] == ["PlaceOrder", "ConfirmPayment", "ShipOrder"]
    assert {command.effective_at for command in orders} == {"2010-12-01T08:26:00Z"}
    place, pay, ship = (command.data for command in orders)
    assert place["customer_id"] == "17850"
    assert place["lines"] == [
        {"product_id": product_id("A"), "quantity": 6, "unit_price": "2.55"},
        {"product_id": product_id("B"), "quantity": 1, "unit_price": "0.50"},
    ]
    assert pay == {"order_id": place["id"], "amount": "15.80", "reference": "1"}
    assert ship == {"order_id": place["id"]}


def test_an_orders_amount_is_rounded_once_half_up_to_what_the_currency_has() -> None:
    lines = (line("1", "A", 1, "0.0025"), line("1", "B", 1, "0.0025"))
    assert data(plan(*lines), "ConfirmPayment")[0]["amount"] == "0.01"
    assert plan(*lines).rounding == to_ticks("0.005")
    assert data(plan(line("1", "A", 1, "2.5"), decimals=0), "ConfirmPayment")[0]["amount"] == "3.00"


def test_an_invoices_date_and_customer_are_those_of_its_first_line_wherever_its_lines_stand() -> None:
    planned = plan(
        line("1", "A", 1, "1", "2010-12-01T23:59"),
        line("2", "A", 1, "1", "2010-12-02T10:00"),
        line("1", "B", 1, "1", "2010-12-02T00:00"),
    )
    assert [len(order["lines"]) for order in data(planned, "PlaceOrder")] == [2, 1]
    assert commands(planned, "PlaceOrder")[0].effective_at == "2010-12-01T23:59:00Z"


def test_without_a_customer_it_is_a_guest() -> None:
    assert data(plan(line("1", "A", 1, "1", customer="")), "PlaceOrder")[0]["customer_id"] == "guest"


def test_the_same_product_in_several_lines_stays_in_several_lines() -> None:
    planned = plan(line("1", "A", 1, "1"), line("1", "A", 2, "2"))
    assert [x["quantity"] for x in data(planned, "PlaceOrder")[0]["lines"]] == [1, 2]


def test_more_than_a_thousand_lines_are_several_orders_in_the_order_of_the_file() -> None:
    planned = plan(*(line("1", "A", n, "1") for n in range(1, 2002)))
    orders = data(planned, "PlaceOrder")
    assert [len(order["lines"]) for order in orders] == [1000, 1000, 1]
    assert [x["quantity"] for order in orders for x in order["lines"]] == list(range(1, 2002))
    assert [pay["reference"] for pay in data(planned, "ConfirmPayment")] == ["1", "1-2", "1-3"]
    assert len({order["id"] for order in orders}) == 3


def test_codes_that_differ_only_by_case_are_one_product_in_capitals() -> None:
    planned = plan(line("1", "15056bl", 1, "1"), line("2", "15056BL", 2, "1"))
    [product] = data(planned, "AddNewProduct")
    assert (product["sku"], product["initial_stock"]) == ("15056BL", 3)


@pytest.mark.parametrize(
    "code",
    [
        "POST",
        "DOT",
        "C2",
        "C3",
        "M",
        "m",
        "D",
        "BANK CHARGES",
        "AMAZONFEE",
        "S",
        "CRUK",
        "gift_0001_30",
        "ADJUST2",
    ],
)
def test_fees_are_left_out_of_orders_and_are_no_products(code: str) -> None:
    planned = plan(line("1", "A", 1, "1"), line("1", code, 1, "18"), line("C2", code, -1, "18"))
    assert [product["sku"] for product in data(planned, "AddNewProduct")] == ["A"]
    assert len(data(planned, "PlaceOrder")[0]["lines"]) == 1
    assert [(left.rule, left.amount) for left in planned.left_out] == [(Rule.FEE, 180000), (Rule.FEE, -180000)]


@pytest.mark.parametrize("code", ["PADS", "DCGS0003", "SP1002", "DCGSSBOY", "47503J "])
def test_other_odd_codes_are_products(code: str) -> None:
    assert [product["sku"] for product in data(plan(line("1", code, 1, "0.001")), "AddNewProduct")] == [code]


def test_an_invoice_with_fees_alone_is_no_order() -> None:
    assert not any(barrier.commands for barrier in plan(line("1", "POST", 1, "18")).barriers)


def test_the_name_is_the_most_frequent_description_and_never_a_remark() -> None:
    planned = plan(
        *(line(str(n), "A", -1, "0", customer="", description="Thrown away") for n in range(3)),
        line("4", "A", 1, "1", description="check"),
        line("5", "A", 1, "1", description=""),
        line("6", "A", 1, "1", description="LUNCH BAG SPOTTY"),
        line("7", "A", 1, "1", description="LUNCH BAG  RED"),
        line("8", "A", 1, "1", description="LUNCH BAG RED "),
    )
    assert data(planned, "AddNewProduct")[0]["name"] == "LUNCH BAG RED"


def test_a_tie_between_names_goes_to_the_first_and_a_product_without_one_is_named_by_its_code() -> None:
    planned = plan(
        line("1", "A", 1, "1", description="ONE"),
        line("2", "A", 1, "1", description="TWO"),
        line("3", "B", 1, "1", description=""),
        line("4", "C", 1, "1", description="X" * 300),
    )
    assert [product["name"] for product in data(planned, "AddNewProduct")] == ["ONE", "B", "X" * 200]


def test_a_product_is_there_from_its_first_day_at_the_price_of_the_first_day_on_which_it_has_one() -> None:
    planned = plan(
        line("1", "A", -2, "0", "2010-12-01T10:00", customer=""),
        line("2", "A", 1, "0", "2010-12-02T10:00"),
        line("3", "A", 1, "5", "2010-12-03T10:00"),
        line("4", "A", 1, "4", "2010-12-03T10:00"),
        line("5", "A", 1, "4", "2010-12-03T10:00"),
        line("6", "B", 3, "0", "2010-12-03T10:00", customer=""),
    )
    [a, b] = commands(planned, "AddNewProduct")
    assert (a.effective_at, a.data["price"], a.data["initial_stock"]) == ("2010-12-01T00:00:00Z", "4.00", 5 + 1)
    assert (b.effective_at, b.data["price"], b.data["initial_stock"]) == ("2010-12-03T00:00:00Z", "0.00", 0)


def test_a_price_changes_at_most_once_a_day_to_the_days_most_frequent_and_only_where_it_differs() -> None:
    planned = plan(
        line("1", "A", 1, "2", "2010-12-01T10:00"),
        line("2", "A", 1, "2", "2010-12-02T10:00"),
        line("3", "A", 9, "9", "2010-12-02T10:00"),
        line("4", "A", 1, "2", "2010-12-02T10:00"),
        line("5", "A", 1, "3", "2010-12-03T10:00"),
        line("6", "A", 1, "1", "2010-12-03T10:00"),
        line("7", "A", 1, "0", "2010-12-04T10:00"),
        line("8", "A", 1, "2", "2010-12-05T10:00"),
    )
    changes = [(c.effective_at[:10], c.data["price"]) for c in commands(planned, "ChangePrice")]
    assert changes == [("2010-12-03", "3.00"), ("2010-12-05", "2.00")]


CANCELLED = [
    line("1", "A", 10, "2.5", "2010-12-01T10:00"),
    line("2", "A", 4, "2.5", "2010-12-02T10:00"),
    line("3", "A", 9, "2.5", "2010-12-02T10:00", customer="99"),
    line("4", "A", 5, "3", "2010-12-02T11:00"),
    line("5", "A", 50, "2.5", "2010-12-09T10:00"),
]


def cancel(*lines: Line) -> tuple[list[tuple[str, int]], list[tuple[Rule, int]]]:
    """Which order (by its payment's reference) gets how many back, and what is left out."""
    planned = plan(*CANCELLED, *lines)
    invoices = {pay["order_id"]: pay["reference"] for pay in data(planned, "ConfirmPayment")}
    returned = [(invoices[x["order_id"]], sum(y["quantity"] for y in x["lines"])) for x in data(planned, "ReturnItems")]
    return returned, [(left.rule, left.amount) for left in planned.left_out]


def undone(quantity: int, price: str = "2.5", at: str = "2010-12-03T10:00", **more: Any) -> Line:
    return line("C9", "A", -quantity, price, at, **more)


@pytest.mark.parametrize(
    ("lines", "returned", "left_out"),
    [
        ([undone(4)], [("2", 4)], []),
        ([undone(5)], [("1", 5)], []),
        ([undone(4), undone(4)], [("2", 4), ("1", 4)], []),
        ([undone(11)], [("2", 4), ("1", 7)], []),
        ([undone(20)], [], [(Rule.NOT_ENOUGH, -500000)]),
        ([undone(15)], [], [(Rule.OTHER_PRICE, -375000)]),
        ([undone(5, "3")], [("4", 5)], []),
        ([undone(1, "7")], [], [(Rule.OTHER_PRICE, -70000)]),
        ([undone(1, at="2010-11-30T10:00")], [], [(Rule.NO_ORDER, -25000)]),
        ([undone(1, customer="")], [], [(Rule.NO_ORDER, -25000)]),
        ([undone(9, customer="99"), undone(1, customer="99")], [("3", 9)], [(Rule.NOT_ENOUGH, -25000)]),
    ],
)
def test_a_cancellation_is_the_return_of_the_latest_earlier_order_that_has_so_many_left(
    lines: list[Line], returned: list[tuple[str, int]], left_out: list[tuple[Rule, int]]
) -> None:
    assert cancel(*lines) == (returned, left_out)


def test_returns_take_an_orders_lines_in_their_order_so_that_refunds_are_the_files() -> None:
    bought = [line("1", "A", 2, "5"), line("1", "A", 3, "4"), line("1", "A", 4, "5")]
    behind = plan(*bought, line("C2", "A", -3, "5"))
    assert [left.rule for left in behind.left_out] == [Rule.OTHER_PRICE]
    freed = plan(*bought, line("C2", "A", -2, "5"), line("C3", "A", -3, "4"), line("C4", "A", -4, "5"))
    assert [-command.amount for command in commands(freed, "ReturnItems")] == [100000, 120000, 200000]


def test_a_return_has_the_cancellations_date_and_all_of_its_lines_of_one_order() -> None:
    planned = plan(
        line("1", "A", 2, "5"), line("1", "B", 2, "1"), line("C2", "B", -1, "1", "2010-12-04T10:00"),
        line("C2", "A", -2, "5"), line("C2", "B", -1, "1"),
    )  # fmt: skip
    [command] = commands(planned, "ReturnItems")
    assert command.effective_at == "2010-12-04T10:00:00Z"
    assert command.data["lines"] == [
        {"product_id": product_id("B"), "quantity": 2},
        {"product_id": product_id("A"), "quantity": 2},
    ]
    assert command.data["restock"] is True


def test_refunds_of_an_order_are_rounded_in_all_as_the_shop_does() -> None:
    planned = plan(line("1", "A", 2, "0.005"), line("C2", "A", -1, "0.005"), line("C3", "A", -1, "0.005"))
    assert [command.amount for command in commands(planned, "ReturnItems")] == [-100, 0]
    assert planned.rounding == 0


def test_a_stock_note_is_a_recount_of_what_is_on_hand_then() -> None:
    planned = plan(
        line("1", "A", -3, "0", customer="", description="damages"),
        line("2", "A", 10, "1"),
        line("C3", "A", -4, "1", "2010-12-02T10:00"),
        line("4", "A", 5, "0", "2010-12-02T10:00", customer="", description="?"),
        line("5", "A", -1, "0", "2010-12-03T10:00", customer="", description=""),
    )
    assert data(planned, "AddNewProduct")[0]["initial_stock"] == 14
    recounts = [(x["counted_quantity"], x["reason"]) for x in data(planned, "UpdateStockFromInventoryRecount")]
    assert recounts == [(14 - 10 + 4 - 3, "1 damages"), (10, "4 ?"), (9, "5")]


def test_a_line_at_no_price_in_a_sale_is_a_gift_and_part_of_the_order() -> None:
    with_customer = plan(line("1", "A", 2, "0"))
    in_a_sale = plan(line("1", "A", 2, "0", customer=""), line("1", "B", 1, "1", customer=""))
    assert data(with_customer, "ConfirmPayment")[0]["amount"] == "0.00"
    assert [x["unit_price"] for x in data(in_a_sale, "PlaceOrder")[0]["lines"]] == ["0.00", "1.00"]
    assert (with_customer.decisions["lines that are gifts"], in_a_sale.decisions["lines that are gifts"]) == (1, 1)


@pytest.mark.parametrize(
    ("left", "rule"),
    [
        (line("A1", "X", 1, "-11062.06", customer=""), Rule.BAD_DEBT),
        (line("Z1", "X", 1, "1"), Rule.UNKNOWN_INVOICE),
        (line("1-2", "X", 1, "1"), Rule.UNKNOWN_INVOICE),
        (line("1", "X", -1, "1"), Rule.NO_PIECES),
        (line("1", "X", 0, "1"), Rule.NO_PIECES),
        (line("1", "X", 1, "-1"), Rule.NEGATIVE_PRICE),
        (line("C1", "X", 1, "1"), Rule.NOTHING_CANCELLED),
    ],
)
def test_what_is_no_sale_no_cancellation_and_no_stock_note_is_refused_with_its_rule(left: Line, rule: Rule) -> None:
    planned = plan(left)
    assert [(one.line, one.rule) for one in planned.left_out] == [(2, rule)]
    assert not any(barrier.commands for barrier in planned.barriers)


def test_the_same_file_is_the_same_commands_and_every_command_has_its_own_id() -> None:
    lines = [*CANCELLED, undone(11), line("7", "A", -1, "0", customer=""), line("7", "A", -1, "0", customer="")]
    ids = [command.id for barrier in plan(*lines).barriers for command in barrier.commands]
    assert plan(*lines) == plan(*lines)
    assert len(set(ids)) == len(ids) >= 20


def test_lines_that_can_not_be_read_are_left_out_of_the_plan_too() -> None:
    unreadable = LeftOut(3, "1", "A", 0, Rule.UNREADABLE, "Quantity: expected a whole number.")
    assert plan_import(File((), (unreadable,))).left_out == (unreadable,)
