"""What a command, an event and a query cost, in statements and round trips, counted on the wire to real servers.

Time is lost between processes more than in them. Whoever adds a round trip is to notice it here, and to say why.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from typing import Any

import asyncpg
import httpx
import pytest
import redis.asyncio

import taps
from chassis import broker
from chassis.ids import new_id
from chassis.tasks import end
from command_service.bootstrap import ROUTES, WriteSide, make_api, write_side
from command_service.database import make_engine
from command_service.envelope import Origin, Outcome, envelop
from command_service.migrations import migrate
from command_service.outbox.relay import Relay
from command_service.settings import CommandSettings
from contracts.keys import LIVE, READ_MODEL, Generation
from contracts.topology import EVENTS_EXCHANGE, routing_key
from projector import connections, pipeline
from projector.feed import System
from projector.queues import Queues
from projector.settings import ProjectorSettings
from query_service import bootstrap as query_bootstrap
from query_service.settings import QuerySettings
from stockroom_local.servers import Postgres, RabbitMQ, Redis
from taps import Tap

pytestmark = pytest.mark.own_system

PARTITIONS = 8
TYPES = {route.command.type_name(): route.command for route in ROUTES}

BEGIN_AND_LOCK = ("BEGIN", "SELECT", "SELECT")
LOAD = ("SELECT",)
APPEND = ("INSERT",)
COMMIT = ("COMMIT",)
ONE_COMMIT = [BEGIN_AND_LOCK, LOAD, APPEND, COMMIT]
NOTHING_TO_WRITE = [BEGIN_AND_LOCK, LOAD, COMMIT]
READ_AND_APPLY = [("MGET",), ("EVALSHA",)]


def statements(trips: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Which statements each round trip had, however many rows they met."""
    return [tuple(tag.split()[0] for tag in trip) for trip in trips]


@dataclass
class Commands:
    """A write side and its API; `wire` is what it says to Postgres."""

    side: WriteSide
    http: httpx.AsyncClient
    wire: Tap

    async def send(self, kind: str, command_id: str | None = None, **data: Any) -> Outcome:
        command_id = command_id or new_id()
        origin = Origin(command_id, command_id, datetime.now(UTC))
        return await self.side.mediator.send(envelop(TYPES[kind].model_validate(data), command_id, origin))

    async def product(self, **data: Any) -> str:
        """The id of a new product."""
        product_id = new_id()
        outcome = await self.send("AddNewProduct", id=product_id, **{"name": "Chai", "price": "1.00", **data})
        assert outcome.status == "succeeded", outcome
        return product_id

    async def at_once(self, count: int, kind: str, **data: Any) -> list[Outcome]:
        """So many commands that come together."""
        return await asyncio.gather(*(self.send(kind, **data) for _ in range(count)))

    async def notified(self) -> None:
        """Until the relay has been told of the last command."""
        await self.wire.until(lambda: ("NOTIFY",) in self.wire.said("stockroom-wake-up"))

    def committed(self) -> list[tuple[str, ...]]:
        """What the executor has said since the last time."""
        trips = statements(self.wire.said("stockroom-executor"))
        self.wire.forget()
        return trips


@asynccontextmanager
async def commands_on(url: str, port: int) -> AsyncIterator[Commands]:
    async with AsyncExitStack() as stack:
        wire = await stack.enter_async_context(Tap(port, taps.Postgres))
        settings = CommandSettings(postgres_url=wire.url(url), partitions=PARTITIONS, currency="EUR")
        side = await stack.enter_async_context(write_side(settings))
        app = make_api(side, settings)
        await stack.enter_async_context(app.router.lifespan_context(app))
        transport = httpx.ASGITransport(app)
        http = await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://shop"))
        commands = Commands(side, http, wire)
        await commands.product()  # statements are prepared once a connection
        await commands.notified()
        await wire.until(lambda: ("LISTEN",) in wire.said())
        wire.forget()
        yield commands


@pytest.fixture
async def database(postgres_url: str) -> str:
    """A shop's database with nothing in it."""
    engine = make_engine(CommandSettings(postgres_url=postgres_url))
    await migrate(engine)
    await engine.dispose()
    return postgres_url


@pytest.fixture
async def commands(database: str, postgres_server: Postgres) -> AsyncIterator[Commands]:
    async with commands_on(database, postgres_server.port) as commands:
        yield commands


async def test_a_lone_command_is_four_round_trips(commands: Commands) -> None:
    for _ in range(3):
        await commands.product(sku=new_id()[-12:], initial_stock=3)
    assert commands.committed() == 3 * ONE_COMMIT


async def test_a_hundred_commands_that_come_together_are_the_same_four(commands: Commands) -> None:
    product_id = await commands.product()
    commands.wire.forget()
    outcomes = await commands.at_once(100, "AddToInventory", product_id=product_id, quantity=1)
    assert {outcome.status for outcome in outcomes} == {"succeeded"}
    assert commands.committed() == ONE_COMMIT


async def test_an_order_of_many_products_is_the_same_four(commands: Commands) -> None:
    ids = [await commands.product(initial_stock=3) for _ in range(20)]
    commands.wire.forget()
    lines = [{"product_id": product_id, "quantity": 1} for product_id in ids]
    outcome = await commands.send("PlaceOrder", id=new_id(), customer_id="ann", lines=lines)
    assert outcome.status == "succeeded"
    assert commands.committed() == ONE_COMMIT


async def test_a_rejected_command_is_the_same_four_for_it_keeps_its_receipt(commands: Commands) -> None:
    outcome = await commands.send("ChangePrice", product_id=new_id(), price="2.00")
    assert outcome.status == "rejected"
    assert commands.committed() == ONE_COMMIT


async def test_a_repeated_command_writes_nothing_and_is_three(commands: Commands) -> None:
    product_id, command_id = await commands.product(), new_id()
    commands.wire.forget()
    first = await commands.send("ChangePrice", command_id, product_id=product_id, price="2.00")
    assert commands.committed() == ONE_COMMIT
    assert await commands.send("ChangePrice", command_id, product_id=product_id, price="2.00") == first
    assert commands.committed() == NOTHING_TO_WRITE


async def test_a_command_whose_target_names_more_streams_looks_first_unless_it_remembers(
    commands: Commands, database: str, postgres_server: Postgres
) -> None:
    product_id = await commands.product(initial_stock=3)
    orders = [new_id(), new_id()]
    line = {"product_id": product_id, "quantity": 1}
    for order_id in orders:
        await commands.send("PlaceOrder", id=order_id, customer_id="ann", lines=[line])
    commands.wire.forget()
    assert (await commands.send("CancelOrder", order_id=orders[0])).status == "succeeded"
    assert commands.committed() == ONE_COMMIT
    async with commands_on(database, postgres_server.port) as restarted:
        assert (await restarted.send("CancelOrder", order_id=orders[1])).status == "succeeded"
        assert restarted.committed() == [LOAD, *ONE_COMMIT]


async def test_over_http_nothing_is_asked_of_postgres_but_the_commit_and_one_notification(commands: Commands) -> None:
    answer = await commands.http.post("/products", json={"name": "Chai", "price": "1.00", "initial_stock": 3})
    assert answer.status_code == 201
    await commands.notified()
    assert statements(commands.wire.said()) == [*ONE_COMMIT, ("NOTIFY",)]


async def test_a_command_that_breaks_its_schema_never_reaches_postgres(commands: Commands) -> None:
    answer = await commands.http.post("/products", json={"name": "", "price": "-1.00"})
    assert answer.status_code == 422
    assert commands.wire.said() == []


@dataclass
class Relaying:
    """A relay; what it says to Postgres and to RabbitMQ."""

    postgres: Tap
    rabbitmq: Tap

    def forget(self) -> None:
        self.postgres.forget()
        self.rabbitmq.forget()

    def statements(self) -> list[str]:
        """Of the round trips that met any row: looks at an empty outbox come and go with time."""
        trips = [trip for trip in self.postgres.said() if trip not in ((), ("SELECT 0",))]
        return [" + ".join(trip) for trip in trips]

    def messages(self) -> list[str]:
        return [said for (said,) in self.rabbitmq.said()]

    def deleted(self) -> int:
        """How many rows."""
        return sum(int(tag[7:]) for tag in self.statements() if tag.startswith("DELETE "))

    async def until_deleted(self, *counts: int) -> None:
        """Until the relay has deleted so many rows, so often."""
        expected = [f"DELETE {count}" for count in counts]
        await self.postgres.until(lambda: [tag for tag in self.statements() if tag[:6] == "DELETE"] == expected)


@asynccontextmanager
async def relaying(
    database: str, rabbitmq_url: str, postgres_server: Postgres, rabbitmq_server: RabbitMQ
) -> AsyncIterator[Relaying]:
    async with Tap(postgres_server.port, taps.Postgres) as postgres, Tap(rabbitmq_server.port, taps.RabbitMQ) as rabbit:
        relay = Relay(postgres.url(database), rabbit.url(rabbitmq_url), PARTITIONS)
        task = asyncio.create_task(relay.run())
        try:
            yield Relaying(postgres, rabbit)
        finally:
            await end(task)


@pytest.fixture
async def relay(
    database: str, rabbitmq_url: str, postgres_server: Postgres, rabbitmq_server: RabbitMQ
) -> AsyncIterator[Relaying]:
    """Whatever it publishes goes to one queue, which nobody reads."""
    connection = await broker.connect(rabbitmq_url, "test")
    async with connection:
        channel = await connection.channel()
        exchange = await broker.declare_direct_exchange(channel, EVENTS_EXCHANGE)
        queue = await broker.declare_queue(channel, "kept", {"x-queue-type": "quorum"})
        for partition in range(PARTITIONS):
            await queue.bind(exchange, routing_key(partition))
        async with relaying(database, rabbitmq_url, postgres_server, rabbitmq_server) as relay:
            await put(database, 1)
            await relay.until_deleted(1)
            relay.forget()
            yield relay


async def clear_outbox(database: str) -> None:
    connection = await asyncpg.connect(database)
    await connection.execute("DELETE FROM outbox")
    await connection.close()


async def put(database: str, count: int, partition: int = 0) -> None:
    """So many rows into one partition of the outbox, in one commit, as one batch of commands would."""
    connection = await asyncpg.connect(database)
    rows = "INSERT INTO outbox (partition, message) SELECT $1, '{\"n\":' || n || '}' FROM generate_series(1, $2::int) n"
    await connection.execute(rows, partition, count)
    await connection.close()


async def test_a_lone_event_is_read_published_confirmed_and_deleted_each_once(relay: Relaying, database: str) -> None:
    for number in range(1, 4):
        await put(database, 1)
        await relay.until_deleted(*number * [1])
    assert relay.statements() == 3 * ["SELECT 1", "DELETE 1"]
    assert relay.messages() == 3 * ["publish", "confirm"]


async def test_a_backlog_of_a_partition_is_read_and_deleted_by_500_and_published_by_100(
    relay: Relaying, database: str
) -> None:
    await put(database, 1250)
    await relay.until_deleted(500, 500, 250)
    assert relay.statements() == ["SELECT 500", "DELETE 500", "SELECT 500", "DELETE 500", "SELECT 250", "DELETE 250"]
    assert relay.messages() == 13 * ["publish", "confirm"]


@dataclass
class Projecting:
    """The projector's pipeline of generation 1 without its walk: what it says to Redis and to RabbitMQ."""

    redis: Tap
    rabbitmq: Tap

    def acknowledged(self) -> int:
        return self.rabbitmq.said().count(("ack",))

    def has_done(self, messages: int) -> bool:
        """Whether so many messages have come, and nothing has since the last acknowledgement."""
        said = self.rabbitmq.said()
        return said.count(("deliver",)) == messages and said[-1] == ("ack",)

    async def until_acknowledged(self, count: int) -> None:
        await self.rabbitmq.until(lambda: self.acknowledged() >= count)

    def forget(self) -> None:
        self.redis.forget()
        self.rabbitmq.forget()


@asynccontextmanager
async def projecting(
    redis_url: str, rabbitmq_url: str, redis_server: Redis, rabbitmq_server: RabbitMQ
) -> AsyncIterator[Projecting]:
    generation = Generation(1)
    async with redis.asyncio.Redis.from_url(redis_url) as client:
        await client.mset({LIVE: 1, generation.schema: READ_MODEL, generation.complete: READ_MODEL})
        await client.script_load(resources.files("projector").joinpath("compare_and_apply.lua").read_text())
    async with Tap(redis_server.port, taps.Redis) as spoken, Tap(rabbitmq_server.port, taps.RabbitMQ) as rabbit:
        settings = ProjectorSettings(redis_url=spoken.url(redis_url), rabbitmq_url=rabbit.url(rabbitmq_url))
        connected = connections.connect(settings)
        consumer = pipeline.build(connected, System(PARTITIONS, "EUR"), generation.number).consumer
        task = asyncio.create_task(consumer.run())
        try:
            yield Projecting(spoken, rabbit)
        finally:
            await end(task)
            await connected.close()


@pytest.fixture
async def projector(
    redis_url: str, rabbitmq_url: str, redis_server: Redis, rabbitmq_server: RabbitMQ
) -> Callable[[], Any]:
    """Starts a projector; its queues are there before, and keep what comes."""
    await Queues(rabbitmq_url, 1, PARTITIONS).bind_anew()
    return lambda: projecting(redis_url, rabbitmq_url, redis_server, rabbitmq_server)


@pytest.fixture
async def published(
    commands: Commands,
    projector: Callable[[], Any],
    database: str,
    rabbitmq_url: str,
    postgres_server: Postgres,
    rabbitmq_server: RabbitMQ,
) -> AsyncIterator[Relaying]:
    """A relay that publishes into the projector's queues, what comes from here on."""
    await clear_outbox(database)
    async with relaying(database, rabbitmq_url, postgres_server, rabbitmq_server) as relay:
        yield relay


async def test_a_lone_event_is_one_read_one_script_and_one_acknowledgement(
    commands: Commands, published: Relaying, projector: Callable[[], Any]
) -> None:
    async with projector() as projected:
        product_id = await commands.product()
        await projected.until_acknowledged(1)
        projected.forget()
        for number in range(1, 4):
            await commands.send("AddToInventory", product_id=product_id, quantity=1)
            await projected.until_acknowledged(number)
        assert of_commands(projected) == 3 * READ_AND_APPLY
        assert projected.rabbitmq.said() == 3 * [("deliver",), ("ack",)]


async def test_a_hundred_events_of_one_message_are_the_same_two_round_trips(
    commands: Commands, published: Relaying, projector: Callable[[], Any]
) -> None:
    async with projector() as projected:
        product_id = await commands.product()
        await projected.until_acknowledged(1)
        projected.forget()
        await commands.at_once(100, "AddToInventory", product_id=product_id, quantity=1)
        await projected.until_acknowledged(1)
        assert of_commands(projected) == READ_AND_APPLY
        assert projected.rabbitmq.said() == [("deliver",), ("ack",)]


async def test_a_backlog_is_two_round_trips_and_one_acknowledgement_a_batch(
    commands: Commands, published: Relaying, projector: Callable[[], Any]
) -> None:
    product_id = await commands.product()
    for _ in range(3):
        await commands.at_once(200, "AddToInventory", product_id=product_id, quantity=1)
    await published.postgres.until(lambda: published.deleted() == 602)
    messages = published.messages().count("confirm")
    async with projector() as projected:
        await projected.rabbitmq.until(lambda: projected.has_done(messages))
        assert of_commands(projected) == projected.acknowledged() * READ_AND_APPLY


def of_commands(projected: Projecting) -> list[tuple[str, ...]]:
    """What it said to Redis, without the greeting of a new connection."""
    return [trip for trip in projected.redis.said() if not set(trip) <= {"CLIENT", "HELLO", "SELECT"}]


@dataclass
class Queries:
    """The query API over a read model with some products; `wire` is what it says to Redis."""

    http: httpx.AsyncClient
    wire: Tap
    ids: list[str]
    token: str
    """Of a command that the read model has seen."""

    async def ask(self, path: str, **headers: str) -> list[tuple[str, ...]]:
        """What a query says to Redis."""
        self.wire.forget()
        answer = await self.http.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        assert answer.status_code == 200, answer.text
        return self.wire.said()


@pytest.fixture
def image_documents() -> int:
    """Hot documents that the query service keeps in memory: here every read asks Redis."""
    return 0


@pytest.fixture
async def queries(
    commands: Commands,
    published: Relaying,
    projector: Callable[[], Any],
    redis_url: str,
    redis_server: Redis,
    image_documents: int,
) -> AsyncIterator[Queries]:
    products = [
        {"id": new_id(), "name": f"Chai {number}", "price": f"{number}.00", "category": "Tea"} for number in range(64)
    ]
    outcomes = await asyncio.gather(*(commands.send("AddNewProduct", **each) for each in products))
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(projector())
        wire = await stack.enter_async_context(Tap(redis_server.port, taps.Redis))
        app = query_bootstrap.build(QuerySettings(redis_url=wire.url(redis_url), image_documents=image_documents))
        await stack.enter_async_context(app.router.lifespan_context(app))
        transport = httpx.ASGITransport(app)
        http = await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://shop"))
        seen = {"Consistency-Token": ",".join(outcome.token for outcome in outcomes), "Prefer": "wait=60"}
        for path in (f"/products/{products[0]['id']}", *LISTS, *TWO_STEPS):
            answer = await http.get(path, headers=seen)
            assert answer.status_code == 200, answer.text
        yield Queries(http, wire, [str(each["id"]) for each in products], outcomes[0].token)


LISTS = (
    "/products?sort=price&category=Tea&limit=20",
    "/products?sort=price&category=Tea&min_price=5&in_stock=false&limit=20",
    "/products?limit=20",
    "/products?search=cha&limit=20",
    "/categories",
)
TWO_STEPS = (
    "/products?search=chai+2&limit=20",
    "/products?search=chai&sort=price&limit=20",
)
"""Which products fit is found in the indexes; then their documents are read."""


ONE_LOOKUP = [("MGET",)]
ONE_SCRIPT = [("EVALSHA_RO",)]


async def test_a_product_is_one_round_trip(queries: Queries) -> None:
    for product_id in queries.ids[:3]:
        assert await queries.ask(f"/products/{product_id}") == ONE_LOOKUP


@pytest.mark.parametrize("image_documents", [1_000])
async def test_a_product_is_one_round_trip_at_most_where_hot_ones_are_kept_in_memory(queries: Queries) -> None:
    for product_id in (*queries.ids[:3], *queries.ids[:3]):
        assert await queries.ask(f"/products/{product_id}") in ([], ONE_LOOKUP)


async def test_a_token_that_is_level_already_costs_no_further_round_trip(queries: Queries) -> None:
    assert await queries.ask(f"/products/{queries.ids[0]}", consistency_token=queries.token) == ONE_LOOKUP
    assert await queries.ask(LISTS[0], consistency_token=queries.token) == ONE_SCRIPT


async def test_a_page_of_a_list_or_of_a_search_for_one_word_is_one_round_trip(queries: Queries) -> None:
    assert {path: await queries.ask(path) for path in LISTS} == dict.fromkeys(LISTS, ONE_SCRIPT)


async def test_a_search_that_judges_its_finds_by_their_documents_is_two(queries: Queries) -> None:
    assert {path: await queries.ask(path) for path in TWO_STEPS} == dict.fromkeys(TWO_STEPS, ONE_SCRIPT + ONE_LOOKUP)


async def test_several_products_by_their_ids_are_one_round_trip(queries: Queries) -> None:
    assert await queries.ask(f"/products?ids={','.join(queries.ids[:20])}") == ONE_LOOKUP


async def test_lookups_that_come_together_share_one_round_trip(queries: Queries) -> None:
    queries.wire.forget()
    answers = await asyncio.gather(*(queries.http.get(f"/products/{product_id}") for product_id in queries.ids[-32:]))
    assert [answer.json()["id"] for answer in answers] == queries.ids[-32:]
    assert queries.wire.said() == ONE_LOOKUP
