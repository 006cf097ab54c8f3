"""The life of an order, from the shelf to the customer and back, as a shop team sees it."""

from typing import Any

import httpx

from system import System, wait_for


def add(shop: System, stock: int, price: str = "10.00", **fields: Any) -> str:
    return str(shop.add_product(price=price, initial_stock=stock, **fields).json()["id"])


def place(shop: System, *lines: tuple[str, int], customer: str = "ann") -> httpx.Response:
    body = {"customer_id": customer, "lines": [{"product_id": p, "quantity": q} for p, q in lines]}
    return shop.command.post("/orders", json=body)


def stock_of(shop: System, product_id: str, token: str | None = None) -> tuple[int, int, int]:
    """On the shelf, reserved, available."""
    stock = shop.read(f"/inventory/{product_id}", token).json()
    return stock["current_stock"], stock["reserved"], stock["available"]


def test_an_order_is_placed_paid_shipped_in_parts_and_returned_in_part(shop: System) -> None:
    chai, cup = add(shop, 10, "18.005", name="Chai"), add(shop, 3, "4.50", name="Cup")
    placed = place(shop, (chai, 4), (cup, 2), (chai, 1))
    assert placed.status_code == 201
    path = placed.headers["location"]

    def status(response: httpx.Response) -> str:
        assert response.status_code in (201, 204), response.text
        return str(shop.read(path, response.headers["consistency-token"]).json()["status"])

    def post(what: str, **body: Any) -> httpx.Response:
        return shop.command.post(f"{path}/{what}", json=body)

    assert status(placed) == "placed"
    assert stock_of(shop, chai, placed.headers["consistency-token"]) == (10, 5, 5)
    # 5 × 18.005 + 2 × 4.50 = 99.025, rounded once, half up.
    assert shop.query.get(path).json()["total"] == "99.03"
    assert status(post("payments", amount="99.03", reference="transfer 1")) == "paid"
    assert status(post("shipments", lines=[{"product_id": chai, "quantity": 4}])) == "partially_shipped"
    last = post("shipments")
    assert status(last) == "shipped"
    assert stock_of(shop, chai, last.headers["consistency-token"]) == (5, 0, 5)
    returned = post("returns", lines=[{"product_id": cup, "quantity": 2}])
    assert status(returned) == "partially_returned"
    assert stock_of(shop, cup, returned.headers["consistency-token"]) == (3, 0, 3)

    order = shop.query.get(path).json()
    assert [(line["shipped"], line["returned"]) for line in order["lines"]] == [(4, 0), (2, 2), (1, 0)]
    assert order["payment_reference"] == "transfer 1"
    history = shop.query.get(f"{path}/history").json()["items"]
    assert [entry["event"] for entry in history] == [
        "OrderItemsReturned",
        "OrderItemsShipped",
        "OrderItemsShipped",
        "OrderPaid",
        "OrderPlaced",
    ]


def test_an_order_reserves_all_of_its_lines_or_none_and_says_which_are_short(shop: System) -> None:
    plenty, little, none = add(shop, 100), add(shop, 2), add(shop, 0)

    refused = place(shop, (plenty, 5), (little, 2), (little, 1), (none, 1))

    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/insufficient-stock")
    assert refused.json()["lines"] == [
        {"product_id": little, "requested": 3, "available": 2},
        {"product_id": none, "requested": 1, "available": 0},
    ]
    token = shop.command.patch(f"/products/{plenty}", json={"name": "Plenty"}).headers["consistency-token"]
    assert stock_of(shop, plenty, token) == (100, 0, 100)


def test_a_cancelled_order_frees_its_stock_and_the_rest_of_a_shipped_one_too(shop: System) -> None:
    product = add(shop, 10)
    path = place(shop, (product, 6)).headers["location"]
    cancelled = shop.command.post(f"{path}/cancellation", json={"reason": "changed my mind"})
    assert stock_of(shop, product, cancelled.headers["consistency-token"]) == (10, 0, 10)
    assert shop.command.post(f"{path}/cancellation").status_code == 204
    shown = shop.query.get(path).json()
    assert (shown["status"], shown["cancellation_reason"]) == ("cancelled", "changed my mind")

    path = place(shop, (product, 6)).headers["location"]
    shop.command.post(f"{path}/payments", json={"amount": "60", "reference": "card"})
    shop.command.post(f"{path}/shipments", json={"lines": [{"product_id": product, "quantity": 2}]})
    rest = shop.command.post(f"{path}/cancellation")
    order = shop.read(path, rest.headers["consistency-token"]).json()
    assert (order["status"], order["lines"][0]["cancelled"]) == ("shipped", 4)
    assert stock_of(shop, product, rest.headers["consistency-token"]) == (8, 0, 8)
    refused = shop.command.post(f"{path}/cancellation")
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/order-not-cancellable")


def test_a_recount_below_what_is_reserved_is_a_shortage_and_nothing_more_is_sold(shop: System) -> None:
    product = add(shop, 10)
    path = place(shop, (product, 6)).headers["location"]
    shop.command.post(f"{path}/payments", json={"amount": "60", "reference": "card"})

    counted = shop.command.post(f"/inventory/{product}/recounts", json={"counted_quantity": 4})

    stock = shop.read(f"/inventory/{product}", counted.headers["consistency-token"]).json()
    assert (stock["current_stock"], stock["reserved"], stock["available"], stock["shortage"]) == (4, 6, 0, 2)
    assert place(shop, (product, 1)).status_code == 409
    short = shop.command.post(f"{path}/shipments")
    assert (short.status_code, short.json()["type"]) == (409, "/problems/insufficient-stock")
    assert shop.command.post(f"{path}/shipments", json={"lines": [{"product_id": product, "quantity": 4}]}).is_success


def test_orders_are_listed_by_customer_and_status_newest_first(shop: System) -> None:
    product, customer = add(shop, 100), f"customer-{add(shop, 0)}"
    placed = [place(shop, (product, n), customer=customer) for n in (1, 2, 3)]
    paid = shop.command.post(
        f"{placed[1].headers['location']}/payments", json={"amount": "20.00", "reference": "x"}
    ).headers["consistency-token"]
    token = ",".join([paid, *(one.headers["consistency-token"] for one in placed)])

    def ids(**filters: Any) -> list[str]:
        page = shop.read("/orders", token, customer_id=customer, **filters).json()
        return [item["id"] for item in page["items"]]

    expected = [one.json()["id"] for one in placed]
    assert ids() == expected[::-1]
    assert ids(status="paid") == [expected[1]]
    assert ids(status="placed") == [expected[2], expected[0]]


def test_what_was_bought_together_is_related_and_counted_in_the_days_sales(shop: System) -> None:
    tea, pot, cup = (add(shop, 100, "5.00", category=None) for _ in range(3))
    today = shop.query.get("/sales/daily").json()["items"][-1]
    tokens = []
    for lines in (((tea, 1), (pot, 1)), ((tea, 2), (pot, 1), (cup, 1))):
        placed = place(shop, *lines)
        amount = f"{5 * sum(quantity for _, quantity in lines)}.00"
        paid = shop.command.post(f"{placed.headers['location']}/payments", json={"amount": amount, "reference": "card"})
        tokens.append(paid.headers["consistency-token"])

    related = shop.read(f"/products/{tea}/related", ",".join(tokens)).json()["items"]
    assert [item["id"] for item in related] == [pot, cup]
    sales = shop.read("/sales/daily", ",".join(tokens)).json()
    after = next(day for day in sales["items"] if day["date"] == today["date"])
    assert sales["currency"] == "EUR"
    assert (after["orders"] - today["orders"], after["units"] - today["units"]) == (2, 6)


def test_stock_that_runs_out_is_told_once(shop: System) -> None:
    product = add(shop, 8)
    shop.command.post(f"/inventory/{product}/shipments", json={"quantity": 4})
    shop.command.post(f"/inventory/{product}/shipments", json={"quantity": 4})

    def alerts() -> list[tuple[str, int]]:
        items = shop.query.get("/alerts", params={"limit": 100}).json()["items"]
        return [(item["alert"], item["available"]) for item in items if item["product_id"] == product]

    wait_for("both alerts", lambda: len(alerts()) == 2)
    assert sorted(alerts()) == [("StockRanLow", 4), ("StockRanOut", 0)]
    events = [entry["event"] for entry in shop.query.get(f"/products/{product}/history").json()["items"]]
    assert {"StockRanLow", "StockRanOut"} <= set(events)
