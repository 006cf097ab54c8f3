"""Several clients trade at once through two processes: the log, in its order, is a run of the plain shop.

Commands that touch the same streams stand in the log in the order in which they were decided, because positions are
drawn under the streams' locks. So the plain shop, given the log's commands one by one, must let each of them in.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.ids import new_id
from command_service.envelope import Outcome
from command_service.event_store.feed import Feed
from command_service.executor.executor import Executor
from command_service.queue.accepting import Acceptor
from contracts.envelope import RecordedEvent
from contracts.streams import kind_of

from .client_steps import LINES, ORDERS, PRODUCTS, STEPS, Documents, Step
from .plain_run import is_a_run_of_the_plain_shop, receipts_say_what_happened
from .plain_things import Data
from .running import SHRINKING_SECONDS, STABLE
from .write_side import AGGREGATES, PARTITIONS, read, replay

pytestmark = pytest.mark.timeout(SHRINKING_SECONDS)

DEADLINE: Final = 60.0
"""Seconds within which a trade has ended, on however slow a machine."""


BEGINNINGS: Final[tuple[list[str], ...]] = ([], ["PlaceOrder"], ["PlaceOrder", "ConfirmPayment"])


@dataclass(frozen=True)
class Plan:
    """`begun`: which orders are placed, and which of those paid, before clients trade at once."""

    stock: int
    begun: list[list[str]]
    orders: list[list[tuple[int, int]]]
    clients: list[list[Step]]


PLANS = st.builds(
    Plan,
    st.integers(8, 30),
    st.lists(st.sampled_from(BEGINNINGS), min_size=ORDERS, max_size=ORDERS),
    st.lists(LINES, min_size=ORDERS, max_size=ORDERS),
    st.lists(st.lists(STEPS, min_size=3, max_size=10), min_size=2, max_size=6),
)


class Trade:
    """One plan, carried out with ids of its own."""

    def __init__(self, plan: Plan, executors: Sequence[Executor]) -> None:
        self.plan = plan
        products, orders = [new_id() for _ in range(PRODUCTS)], [new_id() for _ in range(ORDERS)]
        self.documents = Documents(products, orders, plan.orders)
        self.sent: dict[str, Data] = {}
        self.outcomes: dict[str, Outcome] = {}
        self.accepted = 0
        self._executors = executors
        self._acceptors = [Acceptor(executor, PARTITIONS) for executor in executors]

    async def carry_out(self) -> None:
        for product in range(PRODUCTS):
            adding = self.documents.adding(product, self.plan.stock)
            await self._send(adding, Step("AddNewProduct", 0, 0, 0, 0, True, False))
        for order, kinds in enumerate(self.plan.begun):
            await self._follow([Step(kind, order, 0, 1, 1, False, False) for kind in kinds])
        async with asyncio.timeout(DEADLINE):
            await asyncio.gather(*(self._follow(steps) for steps in self.plan.clients))

    async def _follow(self, steps: list[Step]) -> None:
        for step in steps:
            await self._send(self.documents.of(step), step)

    async def _send(self, document: Data, step: Step) -> None:
        document = {**document, "id": new_id()}
        self.sent[document["id"]] = document
        processes = (0, 1) if step.twice else (step.process,)
        if step.queued:
            self.accepted += 1
            await asyncio.gather(*(self._acceptors[number].accept([read(document)]) for number in processes))
        outcomes = await asyncio.gather(*(self._executors[n].execute(read(document)) for n in processes))
        assert outcomes == [outcomes[0]] * len(processes)
        self.outcomes[document["id"]] = outcomes[0]


async def _snapshots_are_true(sql: asyncpg.Connection, log: list[RecordedEvent]) -> None:
    streams: dict[str, list[RecordedEvent]] = {}
    for event in log:
        streams.setdefault(event.stream_id, []).append(event)
    rows = await sql.fetch("SELECT stream_id, version, state FROM snapshots WHERE stream_id = ANY($1)", [*streams])
    for stream_id, version, state in rows:
        then: Any = replay(streams[stream_id][:version])[stream_id].state
        assert AGGREGATES[kind_of(stream_id)].snapshot.validate_json(state) == then


@given(plan=PLANS)
@settings(STABLE, max_examples=40)
async def test_whatever_clients_do_at_once_the_log_is_a_run_of_the_plain_shop(
    executors: list[Executor], sql: asyncpg.Connection, engine: AsyncEngine, plan: Plan
) -> None:
    already = await sql.fetchval("SELECT count(*) FROM outbox")
    before = await sql.fetchval("SELECT coalesce(max(position), 0) FROM events")
    trade = Trade(plan, executors)
    await trade.carry_out()
    log = (await Feed(engine).page(before, 10_000)).events
    is_a_run_of_the_plain_shop(log, trade.sent, trade.outcomes)
    await receipts_say_what_happened(sql, log, trade.outcomes)
    await _snapshots_are_true(sql, log)
    # Nobody relays here: what is to be published is all there, each event and each accepted command once.
    assert await sql.fetchval("SELECT count(*) FROM outbox") - already == len(log) + trade.accepted
