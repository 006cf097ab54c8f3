"""Lookups share round trips, and never mix generations."""

import asyncio
from typing import Any

import pytest

from chassis.problems import Problem
from contracts.keys import LIVE, Generation
from query_service.read_model.generation import SWITCHES, LiveGeneration
from query_service.read_model.image import Image
from query_service.read_model.lookups import Lookups
from query_service.read_model.redis_client import Unreachable


class Keys:
    """A Redis that knows MGET. `before` is called ahead of each, with how many came before it."""

    def __init__(self, content: dict[str, bytes]) -> None:
        self.content = content
        self.asked: list[list[str]] = []
        self.before = lambda count: None
        self.gate = asyncio.Event()
        self.gate.set()

    async def call(self, command: str, *keys: str) -> Any:
        assert command == "MGET"
        self.before(len(self.asked))
        self.asked.append(list(keys))
        await self.gate.wait()
        return [self.content.get(key) for key in keys]


def whole(*generations: int) -> dict[str, bytes]:
    return {LIVE: b"%d" % generations[0]} | {Generation(n).complete: b"1" for n in generations}


def product(product_id: str) -> Any:
    return lambda generation: (generation.product(product_id),)


async def test_what_is_asked_in_one_turn_is_one_round_trip():
    redis = Keys(whole(1) | {f"g1:product:{n}": b"%d" % n for n in range(100)})
    lookups = Lookups(redis, LiveGeneration(Image(0, 0)))
    values = await asyncio.gather(*(lookups.get(product(str(n))) for n in range(101)))
    assert values == [[b"%d" % n] for n in range(100)] + [[None]]
    assert len(redis.asked) == 1


async def test_what_is_asked_during_a_round_trip_is_the_next_one():
    redis = Keys(whole(1))
    redis.gate.clear()
    lookups = Lookups(redis, LiveGeneration(Image(0, 0)))
    first = lookups.get(product("0"))
    await asyncio.sleep(0)
    later = []
    for n in range(1, 5):
        later.append(lookups.get(product(str(n))))
        await asyncio.sleep(0)  # a turn of its own
    redis.gate.set()
    await asyncio.gather(first, *later)
    assert [len(keys) - 2 for keys in redis.asked] == [1, 4]


async def test_a_read_is_repeated_in_the_generation_that_the_pointer_names():
    redis = Keys(whole(7) | {"g7:product:a": b"new", "g1:product:a": b"old"})
    live = LiveGeneration(Image(0, 0))
    lookups = Lookups(redis, live)
    assert await lookups.get(product("a")) == [b"new"]
    assert live.known.number == 7
    assert len(redis.asked) == 2
    assert await lookups.get(product("a")) == [b"new"]
    assert len(redis.asked) == 3


async def test_a_read_that_another_one_overtook_with_the_news_of_a_switch_is_repeated_too():
    redis = Keys(whole(7, 1) | {"g7:product:a": b"new", "g1:product:a": b"old"})
    live = LiveGeneration(Image(0, 0))
    redis.gate.clear()
    reading = Lookups(redis, live).get(product("a"))
    await asyncio.sleep(0)  # under way, of generation 1
    live.known = Generation(7)
    redis.gate.set()
    assert await reading == [b"new"]


async def test_a_pointer_that_does_not_rest_ends_in_503():
    redis = Keys(whole(*range(2, 30)))

    def move(count):
        redis.content[LIVE] = b"%d" % (count + 2)

    redis.before = move
    with pytest.raises(Problem) as problem:
        await Lookups(redis, LiveGeneration(Image(0, 0))).get(product("a"))
    assert problem.value.kind.slug == "read-model-behind"
    assert len(redis.asked) == SWITCHES


async def test_nothing_is_answered_from_a_generation_that_is_not_whole():
    redis = Keys({LIVE: b"1", "g1:product:a": b"half"})
    lookups = Lookups(redis, LiveGeneration(Image(0, 0)))
    outcomes = await asyncio.gather(*(lookups.get(product("a")) for _ in range(3)), return_exceptions=True)
    assert {outcome.kind.slug for outcome in outcomes} == {"read-model-behind"}
    assert len(set(map(id, outcomes))) == 3


@pytest.mark.parametrize("error", [Unreachable("gone"), ZeroDivisionError()])
async def test_nobody_is_left_waiting_when_a_read_fails(error):
    class Broken:
        async def call(self, *_):
            raise error

    lookups = Lookups(Broken(), LiveGeneration(Image(0, 0)))
    kind = Problem if isinstance(error, Unreachable) else RuntimeError
    with pytest.raises(kind):
        await lookups.get(product("a"))


async def test_one_who_has_gone_does_not_disturb_the_others():
    redis = Keys(whole(1) | {"g1:product:a": b"1"})
    lookups = Lookups(redis, LiveGeneration(Image(0, 0)))
    gone, there = lookups.get(product("a")), lookups.get(product("a"))
    gone.cancel()
    assert await there == [b"1"]
