"""Documents in memory: never older than a token, never older for long, and never in place of a 404 or a 503.

What a test writes without announcing it, the service can't have heard of: who is shown the old state was answered from
memory. Leases last for ever here, but for the one that a test is about.
"""

import asyncio
import random
from dataclasses import replace

import pytest
from prometheus_client import REGISTRY

from contracts.documents import store
from contracts.keys import APPLIED_CHANNEL, LISTED
from query_service.read_model import image as module
from query_service.read_model.announcements import Announcements
from query_service.read_model.image import Image
from query_service.read_model.redis_client import Redis

LEASES = ("CONFIRMED_SECONDS", "RENEWED_SECONDS", "HEARD_SECONDS", "HELD_SECONDS")
UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(autouse=True)
def leases(monkeypatch):
    """`leases("HEARD_SECONDS")`: this one is as it is in earnest."""
    ours = {name: getattr(module, name) for name in LEASES}
    for name in LEASES:
        monkeypatch.setattr(module, name, 1e9)
    return lambda *names: [monkeypatch.setattr(module, name, ours[name]) for name in names]


@pytest.fixture
def product(shop, make_product):
    return shop.put(make_product(random.Random(1), name="Chai", sku="wanted", is_discontinued=False))


def counted(name, **labels):
    return REGISTRY.get_sample_value(f"stockroom_query_image_{name}", labels) or 0.0


def hits():
    return counted("lookups_total", outcome="hit")


async def from_memory(client, url, headers=None):
    """The answer, once it comes from memory; pytest's timeout is the deadline."""
    while True:
        before = hits()
        answer = await client.get(url, headers=headers)
        if hits() > before:
            return answer
        await asyncio.sleep(0.002)


async def until(client, url, fits):
    """The answer, once it fits; pytest's timeout is the deadline."""
    while not fits(answer := await client.get(url)):  # noqa: ASYNC110 what is asked for announces it, or nothing
        await asyncio.sleep(0.002)
    return answer


async def never(*_):
    await asyncio.Event().wait()


def named(name):
    return lambda answer: answer.status_code == 200 and answer.json()["name"] == name


def status(code):
    return lambda answer: answer.status_code == code


def token(*tokens):
    return {"Consistency-Token": ",".join(tokens), "Prefer": "wait=0"}


async def test_what_was_read_is_answered_from_memory_with_the_same_bytes_and_headers(client, shop, product, make_order):
    shop.place(make_order(random.Random(1), id=product.id))
    for path in (f"/products/{product.id}", f"/inventory/{product.id}", f"/orders/{product.id}"):
        read = await client.get(path)
        held = await from_memory(client, path)
        assert (held.status_code, held.content, held.headers.raw) == (200, read.content, read.headers.raw)
        for headers in ({"If-None-Match": read.headers["etag"]}, {"If-None-Match": '"other"', "Prefer": "wait=3"}):
            shop.redis.config_resetstat()
            held = await client.get(path, headers=headers)
            assert "cmdstat_mget" not in shop.redis.info("commandstats")
            shop.announce(product.id, naming=False)
            await until_cleared()
            read = await client.get(path, headers=headers)
            assert "cmdstat_mget" in shop.redis.info("commandstats")
            assert (held.status_code, held.content, held.headers.raw) == (
                (read.status_code, read.content, read.headers.raw)
            )
            await from_memory(client, path)
        assert (await client.head(path)).headers["etag"] == read.headers["etag"]


async def until_cleared():
    while counted("documents") > 0:  # noqa: ASYNC110 nothing announces it
        await asyncio.sleep(0.002)


async def test_a_product_is_found_in_memory_by_its_sku_too(client, shop, product):
    await from_memory(client, f"/products/{product.id}")
    held = await from_memory(client, "/products/by-sku/wanted")
    assert held.content == shop.bodies[product.id]


async def test_a_token_is_answered_from_memory_only_if_the_same_read_has_seen_it(client, shop, product, make_product):
    url = f"/products/{product.id}"
    other = shop.put(make_product(random.Random(2), version=4))
    first, second = shop.token(product.id, 1), shop.token(product.id, 2)
    await from_memory(client, url)
    shop.put(replace(product, name="Unannounced", version=2))
    assert (await from_memory(client, url)).json()["name"] == "Chai"
    # What is in memory was read without asking for the stream: it may have seen it or not.
    assert (await client.get(url, headers=token(first))).json()["name"] == "Unannounced"
    assert (await client.get(url)).json()["name"] == "Unannounced"  # and nobody is shown the older state again
    held = await from_memory(client, url, token(first))
    assert held.content == (await from_memory(client, url, token(second))).content == shop.bodies[product.id]
    before = hits()
    assert (await client.get(url, headers=token(shop.token(product.id, 3)))).status_code == 503
    assert (await client.get(url, headers=token(second, shop.token(other.id, 5)))).status_code == 503
    assert (await client.get(url, headers=token(second, shop.token(other.id, 4)))).status_code == 200
    assert hits() == before
    assert (await client.get(url, headers=token(second, shop.token(other.id, 4)))).status_code == 200
    assert hits() == before + 1


async def test_a_token_with_something_parked_in_its_partition_is_not_answered_from_memory(client, shop, product):
    url, headers = f"/products/{product.id}", token(shop.token(product.id, 1))
    await from_memory(client, url)
    key = shop.park(product.id)
    for _ in range(3):
        assert (await client.get(url, headers=headers)).status_code == 503
    shop.redis.delete(key)
    assert (await client.get(url, headers=headers)).status_code == 200


async def test_who_waited_for_a_write_leaves_it_in_memory(client, shop, product):
    url, headers = f"/products/{product.id}", token(shop.token(product.id, 2)) | {"Prefer": "wait=30"}
    await from_memory(client, url)
    waiting = asyncio.create_task(client.get(url, headers=headers))
    shop.put(replace(product, name="Chai Tea", version=2))
    shop.announce(product.id)
    assert (await waiting).json()["name"] == "Chai Tea"
    assert (await from_memory(client, url, headers)).json()["name"] == "Chai Tea"


async def test_what_is_announced_leaves_memory_and_nothing_else_does(client, shop, product, make_product):
    url, other = f"/products/{product.id}", shop.put(make_product(random.Random(2)))
    await from_memory(client, url)
    await from_memory(client, f"/products/{other.id}")
    shop.put(replace(other, name="Unannounced"))
    shop.put(replace(product, name="Announced"))
    shop.announce(product.id)
    await until(client, url, named("Announced"))
    assert (await client.get(f"/products/{other.id}")).json()["name"] == other.name


async def test_an_announcement_that_names_nothing_may_be_of_everything(client, shop, product, make_product):
    url, other = f"/products/{product.id}", make_product(random.Random(2))
    await from_memory(client, url)
    shop.put(replace(product, name="Announced"))
    shop.announce(other.id, naming=False)
    await until(client, url, named("Announced"))


@pytest.fixture
def during_the_next_read(monkeypatch):
    """Has something happen between Redis' answer and its arrival."""
    happening = []

    def delayed(ask):
        async def asking(redis, *asked):
            reply = await ask(redis, *asked)
            while happening:
                await happening.pop()()
            return reply

        return asking

    for way in (Redis.call, Redis.together):
        monkeypatch.setattr(Redis, way.__name__, delayed(way))
    return happening.append


@pytest.fixture
def told(monkeypatch):
    """`await told("drop")`: waits until the image is told of something, from now on."""

    def wait(name):
        event, really = asyncio.Event(), getattr(Image, name)

        def tell(image, *arguments):
            really(image, *arguments)
            event.set()

        monkeypatch.setattr(Image, name, tell)
        return event.wait()

    return wait


@pytest.mark.parametrize("naming", [True, False])
async def test_what_is_announced_before_its_older_state_arrives_is_not_held(
    client, shop, product, during_the_next_read, told, naming
):
    url = f"/products/{product.id}"
    await from_memory(client, f"/products/{product.id}")

    async def written():
        heard = told("drop" if naming else "clear")
        shop.put(replace(product, name="Chai Tea", version=2))
        shop.announce(product.id, naming=naming)
        await heard

    during_the_next_read(written)
    headers = token(shop.token(product.id, 1))  # which has to be read, since nobody has asked for the stream before
    assert (await client.get(url, headers=headers)).json()["name"] == "Chai"
    assert (await client.get(url)).json()["name"] == "Chai Tea"


async def test_what_was_read_before_the_subscription_was_lost_is_not_held_after_it(
    client, shop, product, during_the_next_read, told
):
    url = f"/products/{product.id}"
    await from_memory(client, url)

    async def lost():
        there_again = told("subscribed")
        shop.put(replace(product, name="Unannounced", version=2))
        shop.redis.client_kill_filter(_type="pubsub")
        await there_again

    during_the_next_read(lost)
    assert (await client.get(url, headers=token(shop.token(product.id, 1)))).json()["name"] == "Chai"
    assert (await client.get(url)).json()["name"] == "Unannounced"


async def test_a_lost_subscription_clears_the_memory(client, shop, product):
    url = f"/products/{product.id}"
    await from_memory(client, url)
    shop.put(replace(product, name="Unannounced"))
    assert shop.redis.client_kill_filter(_type="pubsub") == 1
    await until(client, url, named("Unannounced"))
    await from_memory(client, url)


async def test_nothing_is_answered_from_memory_until_the_subscription_is_there_again(
    client, shop, product, monkeypatch, told
):
    url = f"/products/{product.id}"
    await from_memory(client, url)
    monkeypatch.setattr(Announcements, "_subscribe", never)
    lost = told("deaf")
    shop.redis.client_kill_filter(_type="pubsub")
    await lost
    for name in ("First", "Second", "Third"):
        shop.put(replace(product, name=name))
        assert (await client.get(url)).json()["name"] == name


async def test_nothing_is_answered_from_memory_while_redis_is_down(serve_over, own_redis, make_product, shop_over):
    shop = shop_over(own_redis.url)
    product = shop.put(make_product(random.Random(1)))
    url = f"/products/{product.id}"
    async with serve_over(own_redis.url) as client:
        await from_memory(client, url)
        await asyncio.to_thread(own_redis.kill)
        await until(client, url, status(503))
        assert (await client.get(url)).status_code == 503


async def test_a_subscription_that_hangs_is_not_trusted_for_long(client, shop, product, monkeypatch, leases):
    leases("HEARD_SECONDS")
    monkeypatch.setattr(Announcements, "_hear", never)
    shop.redis.client_kill_filter(_type="pubsub")  # should it hear already
    url = f"/products/{product.id}"
    await from_memory(client, url)
    shop.put(replace(product, name="Unheard"))
    shop.announce(product.id)
    await until(client, url, named("Unheard"))


async def test_a_subscription_that_answers_is_trusted_without_an_announcement(client, shop, product, leases, told):
    leases("HEARD_SECONDS")
    for _ in range(5):
        await told("heard")
    await from_memory(client, f"/products/{product.id}")


async def test_what_was_never_announced_is_seen_all_the_same(client, shop, product, monkeypatch):
    monkeypatch.setattr(module, "HELD_SECONDS", 0.2)
    url = f"/products/{product.id}"
    await from_memory(client, url)
    shop.put(replace(product, name="Unannounced"))
    await until(client, url, named("Unannounced"))


async def test_another_generation_is_read_soon_after_the_switch(client, shop, product, leases):
    leases("CONFIRMED_SECONDS")
    url = f"/products/{product.id}"
    await from_memory(client, url)
    shop.generation = type(shop.generation)(12)
    shop.products.clear()
    shop.put(replace(product, name="Rebuilt"))
    shop.whole()
    await until(client, url, named("Rebuilt"))
    await from_memory(client, url)


@pytest.mark.parametrize("lose", [lambda shop: shop.redis.flushall(), lambda shop: shop.whole(False)])
async def test_a_read_model_that_is_not_whole_is_noticed_soon_without_an_announcement(
    client, shop, product, leases, lose
):
    leases("CONFIRMED_SECONDS")
    url = f"/products/{product.id}"
    await from_memory(client, url)
    lose(shop)
    answer = await until(client, url, status(503))
    assert answer.json()["type"] == "/problems/read-model-behind"
    assert (await client.get(url)).status_code == 503


@pytest.mark.parametrize("path", ["/products", "/health/ready"])
async def test_whoever_finds_the_read_model_not_whole_clears_the_memory_for_all(client, shop, product, path):
    url = f"/products/{product.id}"
    await from_memory(client, url)
    shop.whole(False)
    assert (await client.get(path)).status_code == 503
    shop.put(replace(product, name="Repaired"))
    shop.whole()
    assert (await client.get(url)).json()["name"] == "Repaired"


async def test_whoever_finds_another_generation_clears_the_memory_for_all(client, shop, product):
    url = f"/products/{product.id}"
    await from_memory(client, url)
    old, shop.generation = shop.generation, type(shop.generation)(12)
    shop.whole()
    assert (await client.get("/products")).status_code == 200
    shop.generation = old
    shop.put(replace(product, name="Kept level"))
    shop.whole()
    assert (await client.get("/products")).status_code == 200
    assert (await client.get(url)).json()["name"] == "Kept level"


async def test_absence_is_never_held(client, shop, product, make_product):
    await from_memory(client, f"/products/{product.id}")
    hidden = make_product(random.Random(3))
    shop.redis.set(shop.generation.product(hidden.id), store(hidden, hidden=True))
    for absent in (replace(hidden, id=UNKNOWN), hidden):
        for _ in range(3):
            assert (await client.get(f"/products/{absent.id}")).status_code == 404
        shop.put(absent)
        assert (await client.get(f"/products/{absent.id}")).status_code == 200


PAGES = (
    "/products?sort=price&category=Tea&limit=2",
    "/products?search=chai&limit=2",
    "/products?in_stock=true&category=Tea",
    "/products",
)


@pytest.fixture
def teas(shop, make_product):
    """Five products with all that `PAGES` ask for, by their price."""
    made = []
    for number in range(5):
        same = {"name": f"Chai {number}", "category": "Tea", "is_discontinued": False, "available": 3}
        product = make_product(random.Random(number), **same, is_out_of_stock=False, price=f"{number + 1}.00")
        made.append(shop.put(product))
    return made


def names(answer):
    return [item["name"] for item in answer.json()["items"]]


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_that_was_read_is_answered_from_memory_with_the_same_bytes_and_headers(client, shop, teas, path):
    read = await client.get(path)
    held = await from_memory(client, path)
    assert (held.status_code, held.content, held.headers.raw) == (200, read.content, read.headers.raw)
    assert ("link" in held.headers) == ("limit=2" in path)
    for headers in ({"If-None-Match": read.headers["etag"]}, {"If-None-Match": '"other"', "Prefer": "wait=3"}):
        held = await from_memory(client, path, headers)
        shop.announce(teas[0].id, naming=False)
        await until_cleared()
        read = await client.get(path, headers=headers)
        assert (held.status_code, held.content, held.headers.raw) == (read.status_code, read.content, read.headers.raw)
        await from_memory(client, path)


async def test_the_next_page_is_held_beside_the_first(client, teas):
    first = await from_memory(client, PAGES[0])
    url = first.headers["link"].partition(">")[0][1:]
    assert (names(first), names(await from_memory(client, url))) == (["Chai 0", "Chai 1"], ["Chai 2", "Chai 3"])
    assert names(await from_memory(client, PAGES[0])) == ["Chai 0", "Chai 1"]


async def test_a_page_leaves_memory_when_a_document_of_it_is_announced_and_not_when_another_is(client, shop, teas):
    await from_memory(client, PAGES[0])
    shop.put(replace(teas[1], name="Unannounced"))
    shop.put(replace(teas[4], name="Announced"))
    shop.announce(teas[4].id)
    await until(client, "/products?ids=" + teas[4].id, lambda answer: names(answer) == ["Announced"])
    assert names(await from_memory(client, PAGES[0])) == ["Chai 0", "Chai 1"]
    shop.announce(teas[1].id)
    await until(client, PAGES[0], lambda answer: names(answer) == ["Chai 0", "Unannounced"])


@pytest.mark.parametrize(
    ("path", "index"),
    [
        (PAGES[0], lambda g: g.products(LISTED, "price", "Tea")),
        (PAGES[1], lambda g: g.words(LISTED)),
        (PAGES[2], lambda g: g.products(LISTED, "-created_at", "Tea")),
        (PAGES[3], lambda g: g.products(LISTED, "-created_at")),
    ],
)
async def test_a_page_leaves_memory_when_its_index_is_announced(client, shop, teas, make_product, path, index):
    """By a product that was on no page yet."""
    await from_memory(client, path)
    new = replace(
        teas[0], id=UNKNOWN, sku=None, price="0.50", created_at="2027-01-01T00:00:00.000000Z", name="Chai New"
    )
    shop.put(new)
    shop.announce(new.id)
    assert "Chai New" not in names(await from_memory(client, path))
    shop.announce(new.id, index(shop.generation))
    await until(client, path, lambda answer: names(answer)[0] == "Chai New")


async def test_a_page_that_looked_at_a_document_and_left_it_out_leaves_when_that_is_announced(client, shop, teas):
    shop.put(replace(teas[2], available=0, is_out_of_stock=True))
    assert "Chai 2" not in names(await from_memory(client, PAGES[2]))
    shop.put(teas[2])
    shop.announce(teas[2].id)
    await until(client, PAGES[2], lambda answer: "Chai 2" in names(answer))


async def test_a_projector_of_before_that_names_no_indexes_leaves_no_page_in_memory(client, shop, teas):
    await from_memory(client, PAGES[0])
    shop.put(replace(teas[0], id=UNKNOWN, sku=None, price="0.50", name="Chai New"))
    shop.redis.publish(f"{APPLIED_CHANNEL}0", f"17\n{shop.generation.product(UNKNOWN)}")
    await until(client, PAGES[0], lambda answer: names(answer)[0] == "Chai New")


@pytest.mark.parametrize("path", PAGES)
async def test_no_token_is_answered_with_a_page_from_memory_and_what_was_read_for_one_replaces_it(
    client, shop, teas, path
):
    first = names(await from_memory(client, path))[0]
    shown = next(tea for tea in teas if tea.name == first)
    shop.put(replace(shown, name="Chai Unannounced", version=2))
    headers = token(shop.token(shown.id, 2))
    assert "Chai Unannounced" in names(await client.get(path, headers=headers))
    assert "Chai Unannounced" in names(await from_memory(client, path))


@pytest.mark.parametrize("of_the_index", [True, False])
async def test_a_page_is_not_held_if_it_was_announced_before_its_older_state_arrived(
    client, shop, teas, during_the_next_read, told, of_the_index
):
    await from_memory(client, f"/products/{teas[0].id}")

    async def written():
        heard = told("drop")
        if of_the_index:
            shop.put(replace(teas[0], id=UNKNOWN, sku=None, price="0.50", name="Written"))
            shop.announce(UNKNOWN, shop.generation.products(LISTED, "price", "Tea"))
        else:
            shop.put(replace(teas[0], name="Written"))
            shop.announce(teas[0].id)
        await heard

    during_the_next_read(written)
    assert names(await client.get(PAGES[0])) == ["Chai 0", "Chai 1"]
    assert names(await client.get(PAGES[0]))[0] == "Written"


async def test_a_refusal_is_never_held(client, teas):
    for path in ("/products?limit=0", "/products?sort=colour", "/products?cursor=none"):
        before = hits()
        assert [(await client.get(path)).status_code // 100 for _ in range(3)] == [4, 4, 4]
        assert hits() == before


async def test_the_memory_can_be_turned_off(client_without_memory, shop, product):
    before = hits()
    for name in ("First", "Second", "Third"):
        shop.put(replace(product, name=name))
        assert (await client_without_memory.get(f"/products/{product.id}")).json()["name"] == name
    assert hits() == before


async def test_operators_see_what_the_memory_does(client, shop, product):
    url = f"/products/{product.id}"
    await from_memory(client, url)
    shop.announce(product.id)
    while counted("announced_total") == 0:  # noqa: ASYNC110 nothing announces it
        await asyncio.sleep(0.002)
    await from_memory(client, url)
    shop.redis.client_kill_filter(_type="pubsub")
    while counted("cleared_total", reason="subscription lost") == 0:  # noqa: ASYNC110
        await asyncio.sleep(0.002)
    await from_memory(client, url)
    said = (await client.get("/metrics")).text
    assert "\nstockroom_query_image_documents 1.0\n" in said
    size = float(said.partition("\nstockroom_query_image_bytes ")[2].split()[0])
    assert size > len(shop.bodies[product.id])
    for series in ('lookups_total{outcome="hit"}', 'lookups_total{outcome="miss"}', "evicted_total"):
        assert f"\nstockroom_query_image_{series} " in said
