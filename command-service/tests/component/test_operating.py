"""What operators and browsers get: health, metrics, documentation; and what happens without Postgres."""

import asyncio
import re
from typing import Any

import httpx

from command_service.bootstrap import make_api, write_side
from command_service.database import make_engine
from command_service.migrations import migrate
from command_service.settings import CommandSettings
from stockroom_local.servers import Postgres

from .support import Shop, problem


async def test_the_documentation_needs_no_internet_and_describes_every_command(shop: Shop) -> None:
    page = (await shop.http.get("/docs")).text
    assert not re.findall(r"https?://|//\w", page)
    document = (await shop.http.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    operations = {op["operationId"] for item in document["paths"].values() for op in item.values()}
    assert operations >= {
        "AddNewProduct", "UpdateProductDetails", "ChangePrice", "DiscontinueProduct", "RelistProduct", "RateProduct",
        "WithdrawRating", "AddToInventory", "UpdateStockFromInventoryRecount", "ConfirmItemsShipped",
    }  # fmt: skip


async def test_every_problem_is_explained_at_its_type(shop: Shop) -> None:
    app: Any = shop.http._transport.app  # type: ignore[attr-defined]
    for slug, kind in app.problem_types.items():
        explanation = await shop.http.get(f"/problems/{slug}")
        assert explanation.status_code == 200
        assert kind.title in explanation.text


async def test_health_and_metrics_show_what_runs(shop: Shop) -> None:
    await shop.add()
    assert (await shop.http.get("/health/live")).json() == {"status": "live"}
    assert (await shop.http.get("/health/ready")).json() == {"status": "ready", "checks": {"postgres": "ok"}}
    metrics = (await shop.http.get("/metrics")).text
    for name in (
        'stockroom_commands_total{outcome="succeeded",type="AddNewProduct"}',
        "stockroom_batch_commands_count",
        "stockroom_commit_seconds_count",
        "stockroom_command_seconds_count",
    ):
        assert name in metrics


async def test_without_postgres_commands_and_the_log_are_503_and_it_is_live_and_not_ready(
    own_postgres: Postgres,
) -> None:
    settings = CommandSettings(postgres_url=own_postgres.url, fault_retry_seconds=0.1)
    engine = make_engine(settings)
    await migrate(engine)
    await engine.dispose()
    async with write_side(settings) as side:
        app = make_api(side, settings)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        headers = {"Idempotency-Key": "key-1"}
        body = {"name": "x", "price": "1"}
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://shop") as client,
        ):
            pid = (await client.post("/products", json=body)).json()["id"]
            await asyncio.to_thread(own_postgres.stop)
            refused = await client.post("/products", json=body, headers=headers)
            problem(refused, 503, "unavailable")
            assert int(refused.headers["retry-after"]) > 0
            assert "127.0.0.1" not in refused.text
            for path in (
                "/events",
                "/events/heads",
                f"/streams/product-{pid}/events",
                "/partitions/0/events",
                "/generations",
                "/discards",
            ):
                problem(await client.get(path), 503, "unavailable")
            for path, asked in (
                ("/streams/versions", {"streams": ["x"]}),
                ("/generations", {}),
                ("/generations/1/switch", {}),
                ("/discards", {"event_id": f"product-{pid}@1", "reason": "x"}),
            ):
                problem(await client.post(path, json=asked), 503, "unavailable")
            assert (await client.get("/health/ready")).status_code == 503
            assert (await client.get("/health/live")).status_code == 200
            problem(await client.post("/products", json={}), 422, "invalid-input")
            await asyncio.to_thread(own_postgres.start)
            assert (await client.post("/products", json=body, headers=headers)).status_code == 201
            assert (await client.get("/health/ready")).status_code == 200
            assert len((await client.get("/events")).content.splitlines()) == 4
