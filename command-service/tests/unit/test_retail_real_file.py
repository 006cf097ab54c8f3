"""The rules over the real file, where it is at hand: nothing of it is lost on the way."""

import csv
import gzip
import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from command_service.retail.lines import File, read_file
from command_service.retail.plan import Plan, plan_import

NAME = "online-retail-2010-12-to-2011-03.csv.gz"
FILE = Path(os.environ.get("STOCKROOM_RETAIL_FILE") or Path(__file__).parents[4] / "shared" / "data" / NAME)

pytestmark = pytest.mark.skipif(
    not FILE.is_file(), reason=f"The data set {NAME} is not at hand; STOCKROOM_RETAIL_FILE names where it is."
)


@pytest.fixture(scope="module")
def file() -> File:
    return read_file(FILE)


@pytest.fixture(scope="module")
def plan(file: File) -> Plan:
    return plan_import(file)


def test_every_line_becomes_something_or_is_left_out(file: File, plan: Plan) -> None:
    assert not file.unreadable
    assert sum(plan.imported_lines.values()) + len(plan.left_out) == len(file.lines) == 142_083


def test_the_amounts_agree_with_the_file_to_the_penny(file: File, plan: Plan) -> None:
    imported = sum(command.amount for barrier in plan.barriers for command in barrier.commands)
    assert imported + sum(left.amount for left in plan.left_out) == sum(line.amount for line in file.lines)
    assert plan.rounding == 0


def test_nothing_is_ever_oversold_returned_twice_or_counted_below_none(plan: Plan) -> None:
    stock: Counter[str] = Counter()
    bought: Counter[tuple[str, str]] = Counter()
    for command in (command for barrier in plan.barriers for command in barrier.commands):
        data = command.data
        match command.type:
            case "AddNewProduct":
                stock[data["id"]] = data["initial_stock"]
            case "PlaceOrder":
                assert 1 <= len(data["lines"]) <= 1000
                for line in data["lines"]:
                    stock[line["product_id"]] -= line["quantity"]
                    bought[data["id"], line["product_id"]] += line["quantity"]
            case "ReturnItems":
                for line in data["lines"]:
                    stock[line["product_id"]] += line["quantity"]
                    bought[data["order_id"], line["product_id"]] -= line["quantity"]
            case "UpdateStockFromInventoryRecount":
                stock[data["product_id"]] += command.units
                assert data["counted_quantity"] == stock[data["product_id"]]
            case _:
                continue
        touched = [line["product_id"] for line in data.get("lines", ())] or [data.get("product_id", data.get("id"))]
        assert min(stock[product] for product in touched) >= 0
    assert min(bought.values()) >= 0


def test_ids_are_unique_and_prices_change_at_most_once_a_day(plan: Plan) -> None:
    every = [command for barrier in plan.barriers for command in barrier.commands]
    assert len({command.id for command in every}) == len(every)
    changes = Counter((c.data["product_id"], c.effective_at) for c in every if c.type == "ChangePrice")
    assert max(changes.values()) == 1


FEES = {"POST", "DOT", "C2", "C3", "M", "D", "BANK CHARGES", "AMAZONFEE", "S", "CRUK"}


def revenue_by_day() -> Iterator[tuple[date, Decimal]]:
    """By the stated rules, in the plainest way, and sharing no code with the import."""
    with gzip.open(FILE, "rt", encoding="utf-8", newline="") as text:
        rows = [row for row in csv.DictReader(text) if row["InvoiceNo"].isdigit()]
    first: dict[str, str] = {}
    days: defaultdict[str, Decimal] = defaultdict(Decimal)
    for row in rows:
        day = first.setdefault(row["InvoiceNo"], row["InvoiceDate"][:10])
        code = row["StockCode"].upper()
        if int(row["Quantity"]) > 0 and code not in FEES and not code.startswith(("GIFT_", "ADJUST", "TEST")):
            days[day] += int(row["Quantity"]) * Decimal(row["UnitPrice"])
    return ((date.fromisoformat(day), revenue) for day, revenue in days.items() if revenue)


def test_revenue_per_day_is_what_a_few_plain_lines_give(plan: Plan) -> None:
    planned: defaultdict[date, Decimal] = defaultdict(Decimal)
    for command in plan.barriers[2].commands:
        if command.amount:
            planned[date.fromisoformat(command.effective_at[:10])] += Decimal(command.data["amount"])
    assert dict(planned) == dict(revenue_by_day())
    assert len(planned) > 90
