"""Redis down, hanging or back again: 503 at once or within seconds, and recovery by itself."""

import asyncio
import os
import random
import signal

from contracts.keys import LIVE

URLS = [
    "/products/00000000-0000-4000-8000-000000000000",
    "/products",
    "/products?search=a",
    "/categories",
    "/inventory",
    "/orders",
    "/orders/00000000-0000-4000-8000-000000000000/history",
    "/alerts",
    "/sales/daily",
]


async def until_answered(client, url, status):
    """pytest's timeout is the deadline."""
    while (answer := await client.get(url)).status_code != status:  # noqa: ASYNC110 nothing announces it
        await asyncio.sleep(0.01)
    return answer


async def assert_unavailable(client):
    for url in URLS:
        answer = await client.get(url)
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/unavailable")
        assert int(answer.headers["retry-after"]) > 0
        assert "127.0.0.1" not in answer.text
    assert (await client.get("/health/ready")).status_code == 503
    assert (await client.get("/health/live")).status_code == 200


async def test_queries_answer_503_while_redis_is_down_and_again_when_it_is_back(
    serve_over, own_redis, make_product, shop_over
):
    shop = shop_over(own_redis.url)
    product = shop.put(make_product(random.Random(1), is_discontinued=False))
    async with serve_over(own_redis.url) as client:
        assert (await client.get(f"/products/{product.id}")).status_code == 200
        for stop in (own_redis.stop, own_redis.kill):
            await asyncio.to_thread(stop)
            await assert_unavailable(client)
            await asyncio.to_thread(own_redis.start)
            await until_answered(client, f"/products/{product.id}", 200)
            assert (await client.get("/health/ready")).status_code == 200
        # The subscription is up again too: a waiting query is woken by an announcement.
        while shop.redis.pubsub_numpat() != 1:  # noqa: ASYNC110 nothing announces it
            await asyncio.sleep(0.01)


async def test_a_service_that_starts_before_redis_serves_when_redis_is_there(serve_over, own_redis, shop_over):
    own_redis.stop()
    async with serve_over(own_redis.url) as client:
        await assert_unavailable(client)
        await asyncio.to_thread(own_redis.start)
        shop_over(own_redis.url)
        assert (await until_answered(client, "/products", 200)).json()["items"] == []


async def test_a_redis_that_hangs_is_given_up_within_seconds(serve_over, own_redis, shop_over):
    shop = shop_over(own_redis.url)
    pid = int(shop.redis.info("server")["process_id"])
    async with serve_over(own_redis.url) as client:
        assert (await client.get("/products")).status_code == 200
        # Stopped, it still accepts connections and answers nothing. pytest's timeout is far above our own.
        os.kill(pid, signal.SIGSTOP)
        try:
            answers = await asyncio.gather(*(client.get(url) for url in URLS))
        finally:
            os.kill(pid, signal.SIGCONT)
        assert {answer.status_code for answer in answers} == {503}
        await until_answered(client, "/products", 200)


async def test_a_flushed_redis_is_not_an_empty_shop(serve_over, own_redis, make_product, shop_over):
    shop = shop_over(own_redis.url)
    product = shop.put(make_product(random.Random(1)))
    async with serve_over(own_redis.url, image_documents=0) as client:
        assert (await client.get(f"/products/{product.id}")).status_code == 200
        shop.redis.flushall()
        for url in (f"/products/{product.id}", "/products", "/categories", "/orders", "/sales/daily"):
            answer = await client.get(url)
            assert (answer.status_code, answer.json()["type"]) == (503, "/problems/read-model-behind")
        assert shop.redis.get(LIVE) is None  # a query never writes
