"""Parked keys in the metrics: every instance tells of them, and of none that is not parked any more."""

from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from projector_testing.poison import discard, poison, start
from projector_testing.poison import projector as command_line
from projector_testing.read_model import eventually
from projector_testing.running import World, world
from projector_testing.shop import product_id
from projector_testing.trading import shop

BAD = product_id(1)


@pytest.fixture
async def around(rabbitmq_url: str, redis_url: str) -> AsyncIterator[World]:
    async with world(shop(), rabbitmq_url, redis_url) as made:
        yield made


async def test_a_second_instance_tells_of_parked_keys_too_and_forgets_them(
    around: World, unused_tcp_port_factory: Callable[[], int]
) -> None:
    ports = [unused_tcp_port_factory(), unused_tcp_port_factory()]
    running = [await start(around, port=port) for port in ports]
    try:
        for port in ports:
            await _metric(port, "stockroom_projector_generation_whole", 1.0)
        bad = poison(around, BAD)
        await around.publish([bad])
        for port in ports:
            await _metric(port, "stockroom_projector_parked_keys", 1.0)
        discard(around, bad)
        ended = await command_line(around, "parked", "redrive")
        assert ended.code == 0
        for port in ports:
            await _metric(port, "stockroom_projector_parked_keys", 0.0)
    finally:
        for process in running:
            process.terminate()
        assert [await process.wait() for process in running] == [0, 0]


async def _metric(port: int, name: str, value: float) -> None:
    """Waits until all samples of a metric come to a value."""
    async with httpx.AsyncClient(trust_env=False) as client:

        async def shown() -> bool:
            try:
                lines = (await client.get(f"http://127.0.0.1:{port}/metrics")).text.splitlines()
            except httpx.HTTPError:
                return False
            samples = [float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name}{{")]
            return bool(samples) and sum(samples) == value

        await eventually(shown, f"{name} is {value}")
