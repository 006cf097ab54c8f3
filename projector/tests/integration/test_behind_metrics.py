"""What the metrics say of generations: how long one is behind the log, what is being built, nothing of what is gone."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from projector_testing.read_model import eventually
from projector_testing.running import World, world
from projector_testing.shop import product_id
from projector_testing.trading import shop, trade
from prometheus_client import REGISTRY

from projector import metrics
from projector.healing import Healing


@pytest.fixture
async def around(rabbitmq_url: str, redis_url: str) -> AsyncIterator[World]:
    async with world(shop(), rabbitmq_url, redis_url) as made:
        yield made


def _behind() -> float:
    return float(metrics.BEHIND_SECONDS.labels("1")._value.get())


async def test_it_grows_while_nothing_brings_what_is_missing_and_is_0_when_it_is_there(
    around: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def bring_nothing(*_: Any, **__: Any) -> None:
        pass

    async def is_behind() -> bool:
        return _behind() > 0.5

    async def is_level() -> bool:
        return _behind() == 0

    async with around.projector() as projector:
        await around.ready(projector)
        await eventually(is_level, "nothing is missing")
        with monkeypatch.context() as patched:
            patched.setattr(Healing, "bring", bring_nothing)
            trade(around.log, [product_id(1)], 20, seed=8)
            await eventually(is_behind, "the walk waits for what was never published")
        await around.level()
        await eventually(is_level, "nothing is missing any more")


async def test_a_generation_that_is_built_is_told_by_its_number(around: World) -> None:
    async def tells(number: int) -> bool:
        return float(metrics.BUILDING._value.get()) == number

    async with around.projector() as projector:
        await around.ready(projector)
        await eventually(lambda: tells(0), "none is being built")
        around.service.generations[2] = "building"
        await eventually(lambda: tells(2), "the second is being built")


async def test_nothing_is_said_of_a_generation_that_was_dropped(around: World) -> None:
    def told(name: str) -> float | None:
        return REGISTRY.get_sample_value(f"stockroom_projector_{name}", {"generation": "2"})

    async def all_is_told() -> bool:
        return {told(name) for name in ("generation_whole", "generation_of_other_code", "log_differs")} == {1, 0}

    async def nothing_is_told() -> bool:
        return {told(name) for name in ("generation_whole", "generation_of_other_code", "log_differs")} == {None}

    around.service.generations[2] = "kept"
    async with around.projector() as projector:
        await around.ready(projector)
        await eventually(all_is_told, "the second is whole, too")
        around.service.generations[2] = "dropped"
        await eventually(nothing_is_told, "the second is not spoken of")
