"""A query service on a real Redis, who asks it, and what happens to Redis meanwhile."""

import asyncio
import random
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from functools import partial

from hypothesis import strategies as st

from contracts.keys import LIVE, Generation
from query_service.read_model.redis_client import Redis

WAIT = 30
PRODUCTS = 3
GENERATIONS = (1, 2)

PRODUCT = st.integers(0, PRODUCTS - 1)
GENERATION = st.sampled_from(GENERATIONS)
TURNS = st.integers(0, 25)
"""Of the event loop, before what comes next happens to Redis."""


@dataclass(frozen=True)
class Interruption:
    """What happens just before the service asks Redis, or just before it hears the answer; `later`: the next but so
    many times."""

    kind: str
    later: int
    is_after: bool
    number: int
    product: int
    turns: int


INTERRUPTIONS = st.builds(
    Interruption,
    st.sampled_from(("applied", "applied", "applied", "another generation", "another generation", "unmarked", "cut")),
    st.sampled_from((0, 0, 0, 1, 2)),
    st.booleans(),
    GENERATION,
    PRODUCT,
    TURNS,
)


@dataclass(frozen=True)
class Ask:
    """A query with tokens; `beyond` the newest versions of the live generation, by product."""

    beyond: dict[int, int]
    path: str
    wait: int
    turns: int
    interruption: Interruption | None


ASKS = st.lists(
    st.builds(
        Ask,
        st.dictionaries(PRODUCT, st.sampled_from((0, 1, 1, 2)), min_size=1, max_size=2),
        st.sampled_from(("/products/{id}", "/products/by-sku/{sku}", "/products", "/products?ids={id}")),
        st.sampled_from((WAIT, WAIT, WAIT, 0)),
        TURNS,
        st.none() | INTERRUPTIONS,
    ),
    max_size=4,
)


async def turn(turns):
    """Lets everybody else go on."""
    for _ in range(turns):
        await asyncio.sleep(0)


class Clock(asyncio.SelectorEventLoop):
    """An event loop whose time can be put forward, so that waiting to the end takes none."""

    ahead = 0.0

    def time(self):
        return super().time() + self.ahead


@dataclass
class Waiter:
    """A query with tokens, and what has been true while it was under way."""

    wanted: dict[int, int]
    wait: int
    answer: asyncio.Task
    may_be_answered: bool = False
    may_be_refused: bool = False
    is_over: bool = False
    """It has no time left."""
    is_due: bool = False
    """What it waits for is there, and was announced since."""


@dataclass
class State:
    """What a generation of the read model holds: of each product the version."""

    versions: list[int] = field(default_factory=lambda: [1] * PRODUCTS)
    parked: set[int] = field(default_factory=set)
    whole: bool = True


class World:
    """The service on a real Redis, into which the tests write as the projector does."""

    def __init__(self, redis_url, shop_over, serve_over, make_product):
        self.runner = asyncio.Runner(loop_factory=Clock)
        self.shops = {number: shop_over(redis_url) for number in GENERATIONS}
        self.redis = self.shops[1].redis
        self.interruption = None
        """With what it does."""
        self._make_product = make_product
        self._serving = partial(serve_over, redis_url)
        self._really = Redis.call
        self._stack = AsyncExitStack()

    def run(self, work):
        return self.runner.run(work)

    async def start(self):
        self.client = await self._stack.enter_async_context(self._serving())

    async def close(self):
        await self._stack.aclose()

    async def call(self, redis, *command):
        """In place of the service's own `Redis.call`."""
        await self._interrupt(is_after=False)
        try:
            return await self._really(redis, *command)
        finally:
            await self._interrupt(is_after=True)

    async def _interrupt(self, is_after):
        if self.interruption is None or self.interruption[0].is_after != is_after:
            return
        interruption, happen = self.interruption
        self.interruption = (replace(interruption, later=interruption.later - 1), happen)
        if interruption.later == 0:
            self.interruption = None
            happen(interruption)
            await turn(interruption.turns)

    def ask(self, url, headers):
        """The answer to come."""
        return self.clock.create_task(self.client.get(url, headers=headers))

    def begin(self):
        """An empty Redis, then two generations with the same products."""
        self.redis.flushall()
        # Nothing may be held in memory of a world that has never been.
        assert self.run(self.client.get("/health/ready")).status_code == 503
        chance = random.Random(1)
        self.products = [self._make_product(chance, sku=f"sku-{n}", is_discontinued=False) for n in range(PRODUCTS)]
        for number, shop in self.shops.items():
            shop.generation = Generation(number)
            shop.products.clear()
            for product in self.products:
                shop.put(product)
            shop.whole()
        self.redis.set(LIVE, 1)

    @property
    def clock(self):
        return self.runner.get_loop()
