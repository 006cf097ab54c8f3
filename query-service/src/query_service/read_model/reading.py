"""The door to the read model: every query reads through here, with what it demands to have been seen."""

import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from prometheus_client import Counter, Histogram

from contracts.documents import sendable
from contracts.keys import LIVE, Generation
from query_service.problems import behind
from query_service.read_model.announcements import Announcements
from query_service.read_model.demand import Demand
from query_service.read_model.generation import SWITCHES, LiveGeneration
from query_service.read_model.image import Image, Sendable
from query_service.read_model.lookups import KeysOf, Lookups, Values
from query_service.read_model.redis_client import Redis
from query_service.read_model.scripts import Arguments, Script, Scripts

T = TypeVar("T")

_WAITED: Final = Histogram(
    "stockroom_query_token_wait_seconds",
    "Time that a request with a token waited for the read model; those that found it level are not counted.",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30),
)
_TOKENS: Final = Counter("stockroom_query_tokens_total", "Requests with a token, by how they went.", ["outcome"])
_LEVEL, _CAUGHT_UP, _BEHIND = (_TOKENS.labels(outcome) for outcome in ("level", "waited", "behind"))


class Place:
    """The place in memory of one page."""

    __slots__ = ("_generation", "_image", "_name", "_stamp")

    def __init__(self, image: Image, generation: Generation, target: str) -> None:
        self._image = image
        self._generation = generation
        self._name = f"g{generation.number} {target}"
        self._stamp = image.stamp()

    def held(self, demand: Demand) -> Sendable | None:
        """The page, if it may be answered from memory."""
        return self._image.get(self._name, demand)

    def hold(self, page: Sendable, sources: KeysOf) -> None:
        """Keeps what was read since, until a key that it came from is written."""
        # Were the generation another one by now, all would have been cleared since the stamp.
        self._image.put_page(self._name, self._stamp, page, sources(self._generation))


class ReadModel:
    """Documents and indexes of one whole generation a read, at least as new as demanded.

    Every method raises `Problem`: 503 when Redis can't be reached, the read model is not whole, or what is demanded
    was not seen in time.
    """

    def __init__(self, redis: Redis, announcements: Announcements, image: Image) -> None:
        self._scripts = Scripts(redis)
        self._announcements = announcements
        self._image = image
        self._live = LiveGeneration(image)
        self._lookups = Lookups(redis, self._live)

    async def document(self, key_of: Callable[[Generation], str], demand: Demand) -> Sendable | None:
        """A single document, ready to send; None where clients must see none. What is asked for often is in memory."""
        held = self._image.get(key_of(self._live.known), demand)
        if held is not None:
            if demand.seen:
                _LEVEL.inc()
            return held
        if not demand.seen:
            return (await self._read_document(key_of, demand))[1]
        return await self._until_met(demand, lambda: self._read_document(key_of, demand))

    def place(self, target: str) -> "Place":
        """Where the page that a request target asks for is in memory, or will be: to be had before it is read."""
        return Place(self._image, self._live.known, target)

    async def lookup(self, keys_of: KeysOf, demand: Demand) -> Values:
        """The values of keys, in their order. Lookups that are asked for together share a round trip."""
        if not demand.seen:
            return await self._lookups.get(keys_of)
        head = 2 * len(demand.seen)

        async def read() -> tuple[Values, Values]:
            values = await self._lookups.get(lambda generation: [*demand.keys(generation), *keys_of(generation)])
            return values[:head], values[head:]

        return await self._until_met(demand, read)

    async def run(
        self,
        script: Script,
        keys_of: KeysOf,
        arguments_of: Callable[[Generation], Arguments],
        demand: Demand,
    ) -> list[Any]:
        """What a script answers, after its head: pointer, marker, token and data are one atomic read."""
        while True:
            head, data = await self._run(script, keys_of, arguments_of, demand)
            if demand.met(head):
                return data
            # Many who wait are woken together and look together, in one MGET; then each reads its page.
            await self.lookup(lambda _: (), demand)

    async def check(self) -> None:
        """Passes while queries can be answered; for health."""
        await self._lookups.get(lambda _: ())

    async def _read_document(
        self, key_of: Callable[[Generation], str], demand: Demand
    ) -> tuple[Values, Sendable | None]:
        """What a demand looks at, and the document, which the image is given when the demand is met."""
        key = key_of(self._live.known)
        stamp = self._image.stamp()
        *head, stored = await self._lookups.get(lambda generation: [*demand.keys(generation), key_of(generation)])
        document = sendable(stored)
        if demand.met(head):
            self._image.put(key, stamp, document, demand.versions(head))
        return head, document

    async def _until_met(self, demand: Demand, read: Callable[[], Awaitable[tuple[Values, T]]]) -> T:
        started = time.perf_counter()
        waited = False
        with self._announcements.listen(demand.partitions) as listener:
            while True:
                listener.forget()
                head, result = await read()
                if demand.met(head):
                    (_CAUGHT_UP if waited else _LEVEL).inc()
                    break
                waited = True
                if not await listener.heard(demand.deadline):
                    _BEHIND.inc()
                    raise behind("What the Consistency-Token names has not been seen in time.")
        if waited:
            _WAITED.observe(time.perf_counter() - started)
        return result

    async def _run(
        self,
        script: Script,
        keys_of: KeysOf,
        arguments_of: Callable[[Generation], Arguments],
        demand: Demand,
    ) -> tuple[Values, list[Any]]:
        for _ in range(SWITCHES):
            generation = self._live.known
            head = [LIVE, generation.complete, *demand.keys(generation)]
            keys = [*head, *keys_of(generation)]
            arguments = (generation.number, len(head), *arguments_of(generation))
            sent = time.monotonic()
            answer = await self._scripts.run(script, (len(keys), *keys, *arguments))
            values: Values = answer[0]
            if self._live.confirmed(generation, values[0], values[1], sent):
                return values[2:], answer[1:]
        raise behind("The read model is being switched.")
