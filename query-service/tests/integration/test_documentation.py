"""The OpenAPI document says all there is: held to it by schemathesis, against the running process."""

import random
from urllib.parse import quote

import orjson
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from contracts.documents import HistoryEntry, StockAlert

load_all_checks()
HELD = CHECKS.get_by_names(
    [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "unsupported_method",
        "allow_header_conformance",
    ]
)


@pytest.fixture
def filled(shop, make_product, make_order):
    """A shop, and the path values by which one product, rating and order of it are found."""
    rnd = random.Random(1)
    for _ in range(30):
        shop.rate(shop.put(make_product(rnd)).id, "user", 5)
    one = next(product for product in shop.products.values() if product.sku)
    for other in shop.products:
        shop.place(make_order(rnd))
        if other != one.id:
            shop.sell_together(one.id, other, 1)
    shop.place(make_order(rnd, id=one.id, payment_reference="receipt", status="paid"))
    entry = HistoryEntry("2026-01-01T00:00:00.000000Z", "OrderPaid", "ConfirmPayment", "key", 2, {"amount": "10.00"})
    shop.tell(shop.generation.product_history(one.id), 1, orjson.dumps(entry))
    shop.tell(shop.generation.order_history(one.id), 1, orjson.dumps(entry))
    alert = StockAlert(one.id, "StockRanLow", 2, 3, "2026-01-01T00:00:00.000000Z")
    shop.tell(shop.generation.alerts, 2, orjson.dumps(alert))
    shop.sell("2026-01-02", orders=1, units=2, revenue=100000)
    return {"id": one.id, "product_id": one.id, "sku": quote(one.sku), "user_id": "user"}


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_no_answer_is_undocumented_and_none_is_a_fault(filled, process, mode):
    schema = schemathesis.openapi.from_url(f"{process.url}/openapi.json")
    operations = [result.ok() for result in schema.get_all_operations()]
    assert len(operations) == 14
    for operation in operations:
        if mode is GenerationMode.NEGATIVE and not (operation.query or operation.path_parameters):
            continue  # headers that are texts can't be wrong for schemathesis

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(
            max_examples=40,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def holds(case):
            case.call_and_validate(checks=HELD)

        holds()


def test_every_operation_answers_as_documented_when_it_has_something_to_answer(filled, process):
    schema = schemathesis.openapi.from_url(f"{process.url}/openapi.json")
    for result in schema.get_all_operations():
        operation = result.ok()
        values = {parameter.name: filled[parameter.name] for parameter in operation.path_parameters}
        query = {"from": "2026-01-01", "to": "2026-01-03"} if "sales" in operation.path else {}
        answer = operation.Case(path_parameters=values, query=query).call_and_validate(checks=HELD)
        assert answer.status_code == 200
        content = answer.json()
        assert "items" not in content or content["items"]


async def test_the_documentation_page_needs_no_internet(client, shop):
    page = await client.get("/docs")
    assert page.status_code == 200
    assert "http" not in page.text.replace("<!DOCTYPE html>", "")
    for name in ("swagger-ui-bundle.js", "swagger-ui.css"):
        assert (await client.get(f"/docs/{name}")).status_code == 200


async def test_metrics_name_the_operations_the_waits_and_the_batches(client, shop):
    await client.get("/products")
    text = (await client.get("/metrics")).text
    for name in (
        'stockroom_http_request_seconds_count{operation="list_products",status="200"}',
        "stockroom_query_token_wait_seconds",
        "stockroom_query_lookups_per_mget",
        "stockroom_query_tokens_total",
    ):
        assert name in text
