"""The process as it is run: over a real connection, from its command."""

import asyncio
import random
import signal

import httpx
import pytest


@pytest.mark.parametrize(
    "path", ["/products/{id}", "/products", "/categories", "/inventory", "/products/unknown", "/products/{id}/history",
             "/orders", "/alerts", "/sales/daily?from=2026-01-01&to=2026-01-02"]
)  # fmt: skip
def test_head_has_the_headers_of_get_and_no_body(process, shop, make_product, path):
    product = shop.put(make_product(random.Random(1), is_discontinued=False))
    url = process.url + path.format(id=product.id)
    with httpx.Client() as client:  # over one connection, so that a body too many would be read as the next answer
        get = client.get(url)
        head = client.head(url)
        assert head.status_code == get.status_code
        assert head.content == b""
        names = ("etag", "content-type", "content-length", "cache-control")
        assert [head.headers.get(name) for name in names] == [get.headers.get(name) for name in names]
        held = client.get(url, headers={"If-None-Match": get.headers.get("etag", '"none"')})
        assert (held.status_code, held.content) == ((304, b"") if get.is_success else (422, get.content))


def test_it_ends_cleanly_when_it_is_told_to(process, shop):
    assert httpx.get(f"{process.url}/products").status_code == 200
    process.popen.send_signal(signal.SIGTERM)
    assert process.popen.wait(30) in (0, -signal.SIGTERM)


async def test_it_ends_in_whatever_turn_it_is_told_to(serve_over, redis_url):
    """Also while it is subscribing: a cancellation can be lost on its way through redis-py."""
    for turns in range(25):
        async with serve_over(redis_url):
            for _ in range(turns):
                await asyncio.sleep(0)


@pytest.mark.parametrize("setting", ["STOCKROOM_QUERY_PORT", "STOCKROOM_CURRENCY"])
def test_a_setting_that_does_not_fit_stops_it_and_is_named(run_command, setting):
    ended = run_command(**{setting: "neither"})
    assert ended.returncode == 2
    assert setting in ended.stderr
