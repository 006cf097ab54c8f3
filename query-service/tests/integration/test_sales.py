"""Sales of each day: every day asked for, zeros included, exact to the last decimal."""

import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

ZEROS = {
    "orders": 0,
    "units": 0,
    "revenue": "0.00",
    "cancelled_orders": 0,
    "returned_units": 0,
    "refunds": "0.00",
}


async def sales(client, **asked):
    answer = await client.get("/sales/daily", params=asked)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_each_day_has_what_was_stored_of_it_and_the_others_zeros(client, shop):
    rnd = random.Random(1)
    stored = {}
    for n in rnd.sample(range(366), 120):
        sums = {name: rnd.randint(0, 10**12) for name in rnd.sample(sorted(ZEROS), 4)}
        stored[str(date(2024, 1, 1) + timedelta(n))] = sums
        shop.sell(str(date(2024, 1, 1) + timedelta(n)), **sums)
    answer = await sales(client, **{"from": "2024-01-01", "to": "2024-12-31"})
    assert [item["date"] for item in answer["items"]] == [str(date(2024, 1, 1) + timedelta(n)) for n in range(366)]
    for item in answer["items"]:
        assert list(item) == ["date", *ZEROS]
        for name in ZEROS:
            sold = stored.get(item["date"], {}).get(name, 0)
            if name in ("revenue", "refunds"):
                assert Decimal(item[name]) == Decimal(sold) / 10000
            else:
                assert item[name] == sold


async def test_money_has_at_least_two_decimals_at_any_size(client, shop):
    shop.sell("2026-01-01", revenue=99999999999_9999 * 4000, refunds=5)
    shop.sell("2026-01-02", revenue=3499900)
    first, second = (await sales(client, **{"from": "2026-01-01", "to": "2026-01-02"}))["items"]
    assert (first["revenue"], first["refunds"], second["revenue"]) == ("399999999999999.60", "0.0005", "349.99")


async def test_both_ends_are_included_and_may_be_the_same_day(client, shop):
    for day in ("2026-02-27", "2026-02-28", "2026-03-01", "2026-03-02"):
        shop.sell(day, orders=1)
    answer = await sales(client, **{"from": "2026-02-28", "to": "2026-03-01"})
    assert [(item["date"], item["orders"]) for item in answer["items"]] == [("2026-02-28", 1), ("2026-03-01", 1)]
    answer = await sales(client, **{"from": "2026-03-03", "to": "2026-03-03"})
    assert answer["items"] == [{"date": "2026-03-03", **ZEROS}]


async def test_thirty_days_up_to_today_are_answered_when_nothing_is_asked(client, shop):
    before = datetime.now(UTC).date()
    days = [item["date"] for item in (await sales(client))["items"]]
    assert days[-1] in (str(before), str(datetime.now(UTC).date()))
    assert days == [str(date.fromisoformat(days[-1]) - timedelta(n)) for n in reversed(range(30))]


async def test_one_end_may_be_left_out(client, shop):
    days = [item["date"] for item in (await sales(client, to="2024-03-01"))["items"]]
    assert (len(days), days[0], days[-1]) == (30, "2024-02-01", "2024-03-01")
    before = datetime.now(UTC).date()
    days = [item["date"] for item in (await sales(client, **{"from": str(before - timedelta(2))}))["items"]]
    assert days[:3] == [str(before - timedelta(n)) for n in (2, 1, 0)]


@pytest.mark.parametrize(("last", "count"), [("0001-01-01", 1), ("0001-01-30", 30), ("9999-12-31", 30)])
async def test_the_calendar_has_ends(client, shop, last, count):
    days = (await sales(client, to=last))["items"]
    assert (len(days), days[-1]["date"]) == (count, last)


async def test_the_currency_is_the_read_models_or_else_the_one_that_is_set(serve_over, shop, redis_url):
    async with serve_over(redis_url) as client, serve_over(redis_url, currency="CHF") as other:
        assert ((await sales(client))["currency"], (await sales(other))["currency"]) == ("EUR", "CHF")
        shop.redis.set(shop.generation.currency, "GBP")
        assert ((await sales(client))["currency"], (await sales(other))["currency"]) == ("GBP", "GBP")


async def test_a_year_is_one_round_trip(client, shop):
    asked = {"from": "2024-01-01", "to": "2024-12-31"}
    await sales(client, **asked)
    shop.redis.config_resetstat()
    await sales(client, **asked)
    calls = {name: entry["calls"] for name, entry in shop.redis.info("commandstats").items()}
    assert (calls["cmdstat_evalsha_ro"], calls["cmdstat_mget"]) == (1, 1)
    assert "cmdstat_eval_ro" not in calls
