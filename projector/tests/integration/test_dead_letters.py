"""Messages that can't be read at all are kept, with the reason, and can be looked at as often as one likes."""

import asyncio
from collections.abc import AsyncIterator, Callable

import aio_pika
import httpx
import pytest
from aio_pika.exceptions import AMQPError
from projector_testing.poison import projector as command_line
from projector_testing.read_model import eventually
from projector_testing.running import World, world
from projector_testing.shop import product_id
from projector_testing.trading import shop, trade

from chassis import broker
from contracts.topology import DEAD_LETTER_EXCHANGE, DEAD_LETTER_QUEUE
from projector import bootstrap, cli, dead_letters, metrics
from projector.dead_letters import DeadLetters
from stockroom_local.servers import Trio

PRODUCTS = [product_id(n) for n in range(1, 6)]


@pytest.fixture
async def around(rabbitmq_url: str, redis_url: str) -> AsyncIterator[World]:
    async with world(shop(), rabbitmq_url, redis_url) as made:
        yield made


async def kept(around: World, count: int) -> DeadLetters:
    """The dead letters, as soon as there are so many."""
    found: list[DeadLetters] = []

    async def enough() -> bool:
        found.append(await dead_letters.look(around.rabbitmq_url, 100))
        return len(found[-1].items) >= count

    await eventually(enough, f"{count} dead letters")
    return found[-1]


async def asked_over_http(around: World) -> httpx.Response:
    """What a projector that does not run answers: looking needs the broker alone."""
    projector = bootstrap.build(around.settings())
    transport = httpx.ASGITransport(cli.application(projector))
    async with httpx.AsyncClient(transport=transport, base_url="http://projector") as client:
        answer = await client.get("/dead-letters")
    await projector.connections.close()
    return answer


async def test_a_dead_letter_says_why_it_is_one_and_whence_it_came(around: World) -> None:
    async with around.projector() as projector:
        await around.ready(projector)
        before = metrics.DEAD_LETTERED._value.get()
        await around.publish_raw(1, b"\xff not json " + b"x" * 1000)
        found = await kept(around, 1)
        assert metrics.DEAD_LETTERED._value.get() == before + 1
    assert found.count == 1
    [letter] = found.items
    assert letter.reason.startswith("not JSON")
    assert (letter.origin, letter.size) == ("stockroom.events.read-model-1.1", 1011)
    assert letter.at.endswith("+00:00")
    assert letter.beginning.startswith("\\xff not json xxx")
    assert len(letter.beginning) == dead_letters.MOST_SHOWN
    # The message itself is acknowledged.
    assert await around.queued() == 0


async def test_dead_letters_are_shown_by_the_command_line_and_over_http(around: World) -> None:
    async with around.projector() as projector:
        await around.ready(projector)
        for body in (b"one", b"two", b"three"):
            await around.publish_raw(0, body)
        await kept(around, 3)
        transport = httpx.ASGITransport(cli.application(projector))
        async with httpx.AsyncClient(transport=transport, base_url="http://projector") as client:
            answer = await client.get("/dead-letters?limit=2")
            refused = await client.get("/dead-letters?limit=0")
    assert [item["beginning"] for item in answer.json()["items"]] == ["one", "two"]
    assert (answer.json()["count"], refused.status_code) == (3, 422)
    listed, told = await asyncio.gather(
        command_line(around, "dead-letters", "list", "--json", "--limit", "1"),
        command_line(around, "dead-letters", "list"),
    )
    assert listed.json["items"][0]["reason"].startswith("not JSON")
    assert "3 dead letter(s)." in told.output


async def test_looking_at_dead_letters_again_and_again_loses_none(around: World) -> None:
    async with around.projector() as projector:
        await around.ready(projector)
        await around.publish_raw(0, b"one")
        await around.publish_raw(0, b"two")
        first = await kept(around, 2)
    for _ in range(30):
        again = await kept(around, 2)
        assert sorted(again.items, key=str) == sorted(first.items, key=str)
    connection = await aio_pika.connect(around.rabbitmq_url)
    async with connection:
        queue = await (await connection.channel()).get_queue(DEAD_LETTER_QUEUE)
        message = await queue.get()
        # RabbitMQ 4 drops what was delivered 20 times.
        assert int(str(message.headers.get("x-delivery-count", 0))) < 20


async def test_who_looks_at_dead_letters_at_the_same_time_sees_them_all(around: World) -> None:
    async with around.projector() as projector:
        await around.ready(projector)
        for body in (b"one", b"two", b"three"):
            await around.publish_raw(0, body)
        await kept(around, 3)
    for _ in range(5):
        looks = await asyncio.gather(*(dead_letters.look(around.rabbitmq_url, 100) for _ in range(5)))
        assert [(found.count, len(found.items)) for found in looks] == [(3, 3)] * 5


async def test_who_gets_no_turn_to_look_at_dead_letters_is_told_so(
    around: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters, "_TURN_SECONDS", 0.2)
    connection = await aio_pika.connect(around.rabbitmq_url)
    async with connection:
        channel = await connection.channel()
        await channel.declare_queue(f"{DEAD_LETTER_QUEUE}.looking", exclusive=True)
        answer = await asked_over_http(around)
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/unavailable")
    assert "Others have looked" in answer.json()["detail"]


async def test_what_the_broker_itself_has_put_there_is_shown_with_what_it_says(around: World) -> None:
    connection = await aio_pika.connect(around.rabbitmq_url)
    async with connection:
        channel = await connection.channel()
        await broker.declare_dead_letters(channel, DEAD_LETTER_EXCHANGE, DEAD_LETTER_QUEUE)
        arguments = {"x-dead-letter-exchange": DEAD_LETTER_EXCHANGE}
        queue = await channel.declare_queue("somebodys", durable=True, arguments=arguments)
        await channel.default_exchange.publish(aio_pika.Message(b"rubbish"), "somebodys")
        await (await queue.get()).reject(requeue=False)
    [letter] = (await kept(around, 1)).items
    assert (letter.reason, letter.origin, letter.size) == ("rejected", "somebodys", 7)
    assert letter.at


async def test_rubbish_among_good_messages_is_in_nobodys_way(around: World) -> None:
    async with around.projector() as projector:
        await around.ready(projector)
        before = around.log.settled
        trade(around.log, PRODUCTS, 100, seed=5)
        for number, event in enumerate(around.log.events[before:]):
            await around.publish([event])
            if number % 5 == 0:
                await around.publish_raw(number % 3, b"rubbish %d" % number)
        await around.level()
        found = await kept(around, 20)
    assert sorted(item.beginning for item in found.items) == sorted(f"rubbish {n}" for n in range(0, 100, 5))
    assert await around.queued() == 0


async def test_a_message_is_acknowledged_only_when_its_copy_is_safe(
    around: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = asyncio.Event()

    async def never(*_: object) -> None:
        began.set()
        await asyncio.Event().wait()

    with monkeypatch.context() as broken:
        broken.setattr("projector.dead_letters.keep", never)
        async with around.projector() as projector:
            await around.ready(projector)
            await around.publish_raw(0, b"rubbish")
            await began.wait()

    async def is_back() -> bool:
        return await around.queued() == 1

    await eventually(is_back, "the message is in its queue again")
    async with around.projector():
        assert [item.beginning for item in (await kept(around, 1)).items] == ["rubbish"]


async def test_a_dead_letter_queue_that_is_gone_is_made_again(around: World) -> None:
    async with around.projector() as projector:
        await around.ready(projector)
        connection = await aio_pika.connect(around.rabbitmq_url)
        async with connection:
            channel = await connection.channel()
            await channel.queue_delete(DEAD_LETTER_QUEUE)
            await channel.exchange_delete(DEAD_LETTER_EXCHANGE)
        await around.publish_raw(0, b"rubbish")

        async def made_again() -> bool:
            try:
                return await around.dead_letters() == 1
            except AMQPError:
                return False

        await eventually(made_again, "the queue is there, with the message")


async def test_without_a_broker_it_is_said_so(own_servers: Callable[[], Trio], redis_url: str) -> None:
    trio = await asyncio.to_thread(own_servers)
    async with world(shop(), trio.rabbitmq.url, redis_url) as around:
        await asyncio.to_thread(trio.rabbitmq.kill)
        told = await command_line(around, "dead-letters", "list")
        assert (told.code, told.output) == (1, "")
        assert "The broker can't be reached" in told.errors
        answer = await asked_over_http(around)
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/unavailable")
    assert "retry-after" in answer.headers
