"""The retail import against a small command API: what it sends and when, what it prints, what it does when stopped."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from command_service import api_client
from command_service.api_client import ImportRefused
from command_service.retail import Imported, import_retail, sending
from command_service.retail.lines import read_file
from command_service.retail.plan import Command, plan_import, product_id
from command_service.retail.sending import ARRAY, MAX_BYTES, arrays

from .fake_commands import FakeCommands, serving

SMALL = """\
InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country
100,A1,TEA  POT,6,2010-12-01T08:26:00,2.50,17850,United Kingdom
100,a1,TEA POT,4,2010-12-01T08:27:00,2.50,17850,United Kingdom
100,POST,POSTAGE,1,2010-12-01T08:27:00,18.00,17850,United Kingdom
101,B2,CUP,10,2010-12-01T09:00:00,1.25,,United Kingdom
102,A1,TEA POT,2,2010-12-02T09:00:00,2.95,17850,United Kingdom
102,B2,CUP,1,2010-12-02T09:00:00,0,17850,United Kingdom
C103,A1,TEA POT,-8,2010-12-03T09:00:00,2.50,17850,United Kingdom
C104,A1,TEA POT,-5,2010-12-03T09:10:00,2.50,17850,United Kingdom
105,B2,damages,-3,2010-12-03T10:00:00,0,,United Kingdom
106,C3X,?,5,2010-12-03T10:00:00,0,,United Kingdom
C107,AMAZONFEE,AMAZON FEE,-1,2010-12-04T10:00:00,1000.01,,United Kingdom
108,A1,TEA POT,many,2010-12-04T10:00:00,2.50,17850,United Kingdom
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "retail.csv"
    path.write_text(SMALL, encoding="utf-8")
    return path


@pytest.fixture
def big(tmp_path: Path) -> Path:
    """Enough for many arrays: 700 orders of 5 products with a new price every day."""
    path = tmp_path / "big.csv"
    with path.open("w", newline="", encoding="utf-8") as text:
        writer = csv.writer(text)
        writer.writerow(SMALL.splitlines()[0].split(","))
        for number in range(700):
            day = number * 90 // 700
            for code in range(5):
                at = f"2011-{day // 30 + 1:02}-{day % 28 + 1:02}T10:00:00"
                writer.writerow(
                    (500000 + number, f"P{code}", f"THING {code}", 2, at, f"{day % 28 + 1}.25", 12345, "EIRE")
                )
    return path


@pytest.fixture
def api() -> FakeCommands:
    return FakeCommands()


@pytest.fixture
def url(api: FakeCommands) -> Iterator[str]:
    with serving(api) as url:
        yield url


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_client, "RETRY_SECONDS", 0.1)
    monkeypatch.setattr(sending, "STALL_SECONDS", 0.1)


async def run(file: Path, url: str, refused: Path | None = None) -> tuple[Imported, str]:
    console = Console(file=io.StringIO(), width=200)
    outcome = await import_retail(file, url, refused, console)
    return outcome, console.file.getvalue()  # type: ignore[attr-defined]


def refused(file: Path) -> list[list[str]]:
    with file.with_name(f"{file.name}.refused.csv").open(newline="", encoding="utf-8") as lines:
        return list(csv.reader(lines))[1:]


async def test_what_the_file_says_is_in_the_shop_with_its_dates(api: FakeCommands, url: str, file: Path) -> None:
    outcome, _ = await run(file, url)
    assert not outcome.not_done
    names = {product["sku"]: (product["name"], product["price"]) for product in api.products.values()}
    assert names == {"A1": ("TEA POT", "2.50"), "B2": ("CUP", "1.25"), "C3X": ("C3X", "0.00")}
    assert api.prices[product_id("A1")] == [("2010-12-01T00:00:00Z", "2.50"), ("2010-12-02T00:00:00Z", "2.95")]
    orders = {order["reference"]: order for order in api.orders.values()}
    assert {(n, o["customer_id"], o["total"], o["state"], o["at"]) for n, o in orders.items()} == {
        ("100", "17850", "25.00", "shipped", "2010-12-01T08:26:00Z"),
        ("101", "guest", "12.50", "shipped", "2010-12-01T09:00:00Z"),
        ("102", "17850", "5.90", "shipped", "2010-12-02T09:00:00Z"),
    }
    assert orders["100"]["left"] == {product_id("A1"): 2}
    assert api.stock == {product_id("A1"): 8, product_id("B2"): 0, product_id("C3X"): 5}


async def test_each_barrier_begins_when_the_one_before_has_ended(api: FakeCommands, url: str, big: Path) -> None:
    await run(big, url)
    types = [type_ for type_, _ in api.steps]
    order = {"AddNewProduct": 1, "ChangePrice": 2, "PlaceOrder": 3, "ConfirmPayment": 3, "ShipOrder": 3}
    assert [order[type_] for type_ in types] == sorted(order[type_] for type_ in types)
    assert len(types) == 5 + types.count("ChangePrice") + 2100
    assert max(api.arrays) == ARRAY


async def test_the_report_counts_every_rule_and_its_totals_agree_with_the_file(url: str, file: Path) -> None:
    outcome, text = await run(file, url)
    totals = outcome.totals
    assert (totals.orders, totals.units, totals.revenue) == (3, 23, 434000)
    assert (totals.returned_units, totals.refunds) == (8, 200000)
    assert (totals.written_off_units, totals.found_units) == (3, 5)
    assert outcome.difference == 0
    said = " ".join(text.split())
    for words in (
        "lines of orders 5",
        "returns 1",
        "recounts 2",
        "fee, no product: postage 1",
        "fee, no product: marketplace fee 1",
        "cancellation, earlier orders have not so many left 1",
        "can't be read 1",
        "all 12 of 12 in the file",
        "revenue of the orders 43.40",
        "refunds of the returns -20.00",
        "fee, no product: postage 18.00",
        "fee, no product: marketplace fee -1,000.01",
        "all -971.11 of -971.11: the file's total to the penny",
        "codes that are another in other case 1",
        "lines that are gifts 1",
        "orders of guests 1",
    ):
        assert words in said, said


async def test_what_is_not_in_the_shop_is_in_a_file_line_by_line_with_its_reason(url: str, file: Path) -> None:
    await run(file, url)
    assert [row[:5] for row in refused(file)] == [
        ["4", "100", "POST", "18.00", "fee, no product"],
        ["9", "C104", "A1", "-12.50", "cancellation, earlier orders have not so many left"],
        ["12", "C107", "AMAZONFEE", "-1000.01", "fee, no product"],
        ["13", "108", "A1", "0.00", "can't be read"],
    ]


async def test_an_import_can_be_repeated_without_anything_happening_twice(
    api: FakeCommands, url: str, file: Path
) -> None:
    first, _ = await run(file, url)
    steps = list(api.steps)
    again, _ = await run(file, url)
    assert api.steps == steps
    assert again.totals == first.totals


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("posts", [0, 1, 2, 5])
async def test_an_import_that_stopped_anywhere_goes_on_where_it_was(
    api: FakeCommands, url: str, big: Path, posts: int
) -> None:
    api.posts_until_down = posts
    with pytest.raises(ImportRefused, match="can't be reached"):
        await run(big, url)
    api.posts_until_down = None
    outcome, _ = await run(big, url)
    assert not outcome.not_done
    assert len(api.steps) == len(api.content)
    assert api.stock == {product_id(f"P{n}"): 0 for n in range(5)}


async def test_an_array_whose_answer_was_lost_is_sent_again_and_happens_once(
    api: FakeCommands, url: str, file: Path
) -> None:
    api.lost_answers = 1
    outcome, _ = await run(file, url)
    assert not outcome.not_done
    assert len(api.steps) == len(api.content)


async def test_commands_that_the_service_refuses_are_named_and_the_others_are_done(
    api: FakeCommands, url: str, file: Path
) -> None:
    commands = {(c.type, c.invoice): c for b in plan_import(read_file(file)).barriers for c in b.commands}
    api.failing.add(commands["ConfirmPayment", "102"].id)
    outcome, text = await run(file, url)
    assert [(one.command.type, one.why.split(":")[0]) for one in outcome.not_done] == [
        ("ConfirmPayment", "failed"),
        ("ShipOrder", "rejected"),
    ]
    assert (outcome.totals.orders, outcome.totals.revenue, outcome.difference) == (2, 375000, 0)
    assert "line 6, ConfirmPayment 102: failed: A fault of ours" in text
    assert [row[:5] for row in refused(file) if row[0] == "6"] == [
        ["6", "102", "", "5.90", "refused by the service"],
        ["6", "102", "", "0.00", "refused by the service"],
    ]


async def test_a_command_that_is_not_valid_does_not_keep_its_array_from_being_accepted(
    api: FakeCommands, url: str, file: Path
) -> None:
    [cup] = [c for c in plan_import(read_file(file)).barriers[0].commands if c.code == "B2"]
    api.invalid.add(cup.id)
    outcome, _ = await run(file, url)
    assert {product["sku"] for product in api.products.values()} == {"A1", "C3X"}
    assert outcome.not_done[0].why == "Not valid: /data/price Expected another"


async def test_another_version_of_the_file_is_refused_before_anything_of_it_happens(
    api: FakeCommands, url: str, file: Path, tmp_path: Path
) -> None:
    await run(file, url)
    steps = list(api.steps)
    other = tmp_path / "other.csv"
    other.write_text(SMALL.replace("102,A1,TEA POT,2", "102,A1,TEA POT,3"), encoding="utf-8")
    with pytest.raises(ImportRefused, match="another version of this file"):
        await run(other, url)
    assert api.steps == steps


async def test_no_more_than_some_thousand_commands_are_unfinished(
    api: FakeCommands, url: str, big: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "UNFINISHED", 1000)
    monkeypatch.setattr(sending, "STALL_SECONDS", 0.5)
    api.waiting_types = {"PlaceOrder", "ConfirmPayment", "ShipOrder"}
    with pytest.raises(ImportRefused, match="Is a worker running"):
        await run(big, url)
    waiting = [receipt for receipt in api.receipts.values() if receipt["status"] == "accepted"]
    assert len(waiting) == 1000


@pytest.mark.parametrize(("currency", "warns"), [("EUR", True), ("GBP", False)])
async def test_another_currency_is_warned_of_and_not_refused(
    api: FakeCommands, url: str, file: Path, currency: str, warns: bool
) -> None:
    api.currency = currency
    outcome, text = await run(file, url)
    assert not outcome.not_done
    assert ("The shop's currency is EUR" in text) is warns


@pytest.mark.usefixtures("impatient")
async def test_an_unreachable_service_is_said_in_one_clear_message(file: Path) -> None:
    with pytest.raises(ImportRefused, match=r"http://127.0.0.1:1 can't be reached \(ConnectError\)"):
        await run(file, "http://127.0.0.1:1")


async def test_another_service_at_the_address_is_said_too(url: str, file: Path) -> None:
    with pytest.raises(ImportRefused, match="is not Stockroom's command API"):
        await run(file, f"{url}/elsewhere")


@pytest.mark.parametrize("bad", ["localhost:8080", "ftp://localhost", "http://[::1", "http://localhost:port"])
async def test_an_address_that_is_none_is_refused_at_once(file: Path, bad: str) -> None:
    with pytest.raises(ImportRefused, match="is not Stockroom's command API"):
        await run(file, bad)


async def test_a_place_that_can_not_be_written_to_is_refused_before_anything_is_sent(
    api: FakeCommands, url: str, file: Path, tmp_path: Path
) -> None:
    with pytest.raises(ImportRefused, match="--refused"):
        await run(file, url, tmp_path / "none" / "refused.csv")
    assert not api.content


def test_arrays_keep_the_order_and_what_the_service_takes() -> None:
    def command(number: int, size: int) -> Command:
        return Command(str(number), "T", {"x": "é" * (size // 2)}, "2010-12-01T00:00:00Z", 1, "", "")

    small = [command(n, 0) for n in range(1201)]
    assert [len(array) for array in arrays(small)] == [500, 500, 201]
    large = [command(n, 1024 * 1024) for n in range(7)]
    packed = list(arrays(large))
    assert [len(array) for array in packed] == [3, 3, 1]
    assert [one for array in packed for one in array] == large
    assert all(len(sending._body(array)) <= MAX_BYTES for array in packed)
