"""Related products: most often bought together, then best rated of the category; on sale, once each, never itself."""

import random
import uuid
from collections import Counter

import pytest

from contracts.documents import store
from query_service.products import related


async def related_to(client, product, **asked):
    answer = await client.get(f"/products/{product.id}/related", params=asked)
    assert answer.status_code == 200, answer.text
    assert list(answer.json()) == ["items"]
    return [item["id"] for item in answer.json()["items"]]


def expected(shop, product, together):
    """All of them, by a plain model."""
    first = sorted((one for one in together if together[one] > 0), key=lambda one: (-together[one], one))
    of_category = [p for p in shop.products.values() if product.category and p.category == product.category]
    of_category.sort(key=lambda p: (6.0 if p.user_rating is None else -p.user_rating, uuid.UUID(p.id).bytes))
    candidates = dict.fromkeys([*first, *(p.id for p in of_category)])
    return [one for one in candidates if one != product.id and not shop.products[one].is_discontinued]


@pytest.mark.parametrize("seed", range(4))
async def test_they_are_those_that_a_model_names(client, shop, make_product, seed):
    rnd = random.Random(seed)
    products = [shop.put(make_product(rnd, is_discontinued=rnd.random() < 0.7)) for _ in range(60)]
    for product in rnd.sample(products, 8):
        together = Counter({p.id: rnd.randint(0, 4) for p in rnd.sample(products, rnd.choice((0, 3, 40)))})
        together.pop(product.id, None)
        for other, times in together.items():
            shop.sell_together(product.id, other, times)
        everything = expected(shop, product, together)
        for limit in (1, 5, 10, 100):
            assert await related_to(client, product, limit=limit) == everything[:limit]
        assert await related_to(client, product) == everything[:10]


async def test_they_are_sent_as_the_bytes_that_are_stored(client, shop, make_product):
    rnd = random.Random(1)
    one, other = (shop.put(make_product(rnd, is_discontinued=False, category="Büro")) for _ in range(2))
    answer = await client.get(f"/products/{one.id}/related")
    assert answer.content == b'{"items":[%s]}' % shop.bodies[other.id]


async def test_many_discontinued_companions_hide_none_that_is_on_sale(client, shop, make_product):
    rnd = random.Random(1)
    product = shop.put(make_product(rnd, category=None))
    for n in range(400):
        gone = shop.put(make_product(rnd, is_discontinued=True))
        shop.sell_together(product.id, gone.id, 1000 - n)
    rare = shop.put(make_product(rnd, is_discontinued=False))
    shop.sell_together(product.id, rare.id, 1)
    for limit in (1, 100):
        assert await related_to(client, product, limit=limit) == [rare.id]


@pytest.mark.parametrize("limit", [1, 7, 100])
async def test_a_bounded_number_is_looked_at(client, shop, make_product, monkeypatch, limit):
    monkeypatch.setattr(related, "EXAMINED", 20)
    rnd = random.Random(1)
    product = shop.put(make_product(rnd, category="Tea"))
    gone = [shop.put(make_product(rnd, is_discontinued=True)) for _ in range(20)]
    on_sale = [shop.put(make_product(rnd, is_discontinued=False, category="none")) for _ in range(2)]
    of_category = shop.put(make_product(rnd, is_discontinued=False, category="Tea"))
    for one in gone[1:]:
        shop.sell_together(product.id, one.id, 3)
    shop.sell_together(product.id, on_sale[0].id, 2)
    shop.sell_together(product.id, on_sale[1].id, 1)
    wanted = [on_sale[0].id, of_category.id]
    assert await related_to(client, product, limit=limit) == wanted[:limit]


async def test_a_text_that_looks_like_the_field_does_not_discontinue_a_product(client, shop, make_product):
    rnd = random.Random(1)
    product = shop.put(make_product(rnd, category='C "x" \\ ü', is_discontinued=False))
    text = 'Says "is_discontinued":true, \\"is_discontinued":true and \\'
    other = shop.put(make_product(rnd, category=product.category, is_discontinued=False, name=text, description=text))
    assert await related_to(client, product) == [other.id]


async def test_companions_that_are_hidden_or_not_there_are_left_out(client, shop, make_product):
    rnd = random.Random(1)
    product = shop.put(make_product(rnd, category=None))
    hidden = make_product(rnd, is_discontinued=False)
    shop.redis.set(shop.generation.product(hidden.id), store(hidden, hidden=True))
    there = shop.put(make_product(rnd, is_discontinued=False))
    for other, times in ((hidden.id, 3), (str(uuid.UUID(int=1)), 2), (there.id, 1)):
        shop.sell_together(product.id, other, times)
    for limit in (1, 10):
        assert await related_to(client, product, limit=limit) == [there.id]


async def test_a_discontinued_product_has_related_ones_too(client, shop, make_product):
    rnd = random.Random(1)
    gone = shop.put(make_product(rnd, category="Tea", is_discontinued=True))
    other = shop.put(make_product(rnd, category="Tea", is_discontinued=False))
    assert await related_to(client, gone) == [other.id]


async def test_all_of_it_is_one_round_trip(client, shop, make_product):
    rnd = random.Random(1)
    products = [shop.put(make_product(rnd, category="Tea", is_discontinued=False)) for _ in range(150)]
    await related_to(client, products[0])
    shop.redis.config_resetstat()
    assert len(await related_to(client, products[0])) == 10
    calls = {name: entry["calls"] for name, entry in shop.redis.info("commandstats").items()}
    assert (calls["cmdstat_evalsha_ro"], calls["cmdstat_mget"]) == (1, 2)
