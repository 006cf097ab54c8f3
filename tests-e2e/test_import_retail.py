"""Some days of real trade through the whole system: its sales and what was bought together are what the file says."""

import csv
import gzip
import itertools
import os
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Final

import pytest

from shop_model import wait_until_level
from system import System, program

NAME: Final = "online-retail-2010-12-to-2011-03.csv.gz"
FILE: Final = Path(os.environ.get("STOCKROOM_RETAIL_FILE") or Path(__file__).parents[2] / "shared" / "data" / NAME)
DAYS: Final = "2010-12-03"
"""Only what was before this day; all of it takes minutes."""

FEES: Final = {"POST", "DOT", "C2", "C3", "M", "D", "BANK CHARGES", "AMAZONFEE", "S", "CRUK"}

pytestmark = [
    pytest.mark.own_system,
    pytest.mark.skipif(
        not FILE.is_file(), reason=f"The data set {NAME} is not at hand; STOCKROOM_RETAIL_FILE names where it is."
    ),
]


@pytest.fixture(scope="module")
def some_days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    part = tmp_path_factory.mktemp("retail") / "some-days.csv"
    with gzip.open(FILE, "rt", encoding="utf-8", newline="") as whole, part.open("w", newline="") as text:
        rows = csv.DictReader(whole)
        writer = csv.DictWriter(text, rows.fieldnames or ())
        writer.writeheader()
        writer.writerows(row for row in rows if row["InvoiceDate"] < DAYS)
    return part


def sold(file: Path) -> Iterator[dict[str, str]]:
    """The lines of sales, by the stated rules, in the plainest way."""
    with file.open(newline="") as text:
        for row in csv.DictReader(text):
            code = row["StockCode"].upper()
            is_product = code not in FEES and not code.startswith(("GIFT_", "ADJUST", "TEST"))
            is_sale = row["InvoiceNo"].isdigit() and int(row["Quantity"]) > 0
            is_note = not row["CustomerID"] and not Decimal(row["UnitPrice"])
            if is_product and is_sale and not is_note:
                yield row


def test_sales_and_what_was_bought_together_are_those_of_the_file(shop: System, some_days: Path) -> None:
    command = [program("command-service"), "import-retail", str(some_days), "--url", shop.api.url]
    for _ in range(2):
        # The second time, all of it is known already.
        done = subprocess.run(command, env=shop.environment, capture_output=True, text=True, timeout=250)
        assert done.returncode == 0, done.stdout + done.stderr
    wait_until_level(shop)

    revenue: defaultdict[str, Decimal] = defaultdict(Decimal)
    orders: defaultdict[str, set[str]] = defaultdict(set)
    for row in sold(some_days):
        revenue[row["InvoiceDate"][:10]] += int(row["Quantity"]) * Decimal(row["UnitPrice"])
        orders[row["InvoiceNo"]].add(row["StockCode"].upper())
    days = shop.query.get("/sales/daily", params={"from": "2010-12-01", "to": "2010-12-02"}).json()["items"]
    assert {day["date"]: Decimal(day["revenue"]) for day in days} == dict(revenue)

    with_heart: Counter[str] = Counter()
    for codes in orders.values():
        if "85123A" in codes and len(codes) <= 100:
            with_heart.update(codes - {"85123A"})
    heart = shop.query.get("/products/by-sku/85123A").json()["id"]
    related = shop.query.get(f"/products/{heart}/related", params={"limit": 10}).json()["items"]
    counts = [with_heart[product["sku"]] for product in related]
    assert counts == [count for _, count in itertools.islice(with_heart.most_common(), 10)]
    assert counts[0] > 1
