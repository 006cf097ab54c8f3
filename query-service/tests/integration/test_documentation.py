"""The OpenAPI document says all there is: held to it by schemathesis, against the running process."""

import random

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

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
def filled(shop, make_product):
    rnd = random.Random(1)
    for _ in range(30):
        shop.rate(shop.put(make_product(rnd)).id, "user", 5)
    return shop


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_no_answer_is_undocumented_and_none_is_a_fault(filled, process, mode):
    schema = schemathesis.openapi.from_url(f"{process.url}/openapi.json")
    operations = [result.ok() for result in schema.get_all_operations()]
    assert len(operations) == 7
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
