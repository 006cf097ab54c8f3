"""Whatever happens to the read model and to who waits for it: no older state is answered, and nobody is forgotten."""

import asyncio
from copy import deepcopy
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from contracts.keys import LIVE, Generation
from contracts.topology import partition_of
from query_service.read_model import image
from query_service.read_model.redis_client import Redis

from .asking import (
    ASKS,
    GENERATION,
    GENERATIONS,
    INTERRUPTIONS,
    PRODUCT,
    PRODUCTS,
    TURNS,
    WAIT,
    State,
    Waiter,
    World,
    turn,
)
from .running import SHRINKING_SECONDS, TIMES, with_faults

pytestmark = pytest.mark.timeout(SHRINKING_SECONDS * TIMES)

DEADLINE = 20.0
"""Seconds within which an answer that is due has come, on however slow a machine; less than anybody waits."""


@pytest.fixture
def world(redis_url, shop_over, serve_over, make_product, monkeypatch):
    world = World(redis_url, shop_over, serve_over, make_product)
    monkeypatch.setattr(Redis, "call", lambda redis, *command: world.call(redis, *command))
    for lease in ("CONFIRMED_SECONDS", "RENEWED_SECONDS", "HEARD_SECONDS", "HELD_SECONDS"):
        monkeypatch.setattr(image, lease, 1e9)  # or the end of one would hide what is held in error
    with world.runner:
        world.run(world.start())
        yield world
        world.run(world.close())


class Waiting(RuleBasedStateMachine):
    """Every change is announced as the projector announces it; announcements get lost only with the subscription."""

    def __init__(self, world):
        super().__init__()
        self.world = world
        self.states = {number: State() for number in GENERATIONS}
        self.live = 1
        self.waiting = []
        self.read = []
        """What could be read until now: who asks later may be answered from memory, if it has seen enough."""
        world.begin()
        self._observe()

    @rule(asks=ASKS, number=GENERATION, product=PRODUCT)
    def an_event_is_applied(self, asks, number, product):
        self._ask(asks)
        self._apply(number, product)
        self._end()

    @rule(asks=ASKS, number=GENERATION, product=PRODUCT, before=TURNS, after=TURNS)
    def an_event_is_applied_while_the_subscription_is_lost(self, asks, number, product, before, after):
        self._ask(asks)
        self._cut()
        self._go_on(before)
        self._apply(number, product)
        self._go_on(after)
        self._end()

    @rule(asks=ASKS, number=GENERATION, product=PRODUCT)
    def the_subscription_is_lost_with_what_it_was_to_say(self, asks, number, product):
        self._ask(asks)
        self._apply(number, product)
        self._cut()
        self._end()

    @rule(asks=ASKS)
    def somebody_asks(self, asks):
        self._ask(asks)
        self._go_on(100)

    @rule(product=PRODUCT, interruption=INTERRUPTIONS, is_of_this=st.booleans())
    def somebody_asks_without_a_token(self, product, interruption, is_of_this):
        """And is soon shown the newest, whatever was announced or read meanwhile, once somebody has seen a switch."""
        if is_of_this:
            interruption = replace(interruption, product=product, number=self.live)
        self.world.interruption = (interruption, self._happen)
        response = self._show(product)
        if response.status_code == 200:
            assert response.json()["version"] in {state.versions[product] for state in self.read}
        self._end()
        live, deadline = self.states[self.live], self.world.clock.time() + DEADLINE
        while live.whole and self.world.clock.time() < deadline:
            self.world.run(self.world.client.get("/health/ready"))
            response = self._show(product)
            if response.status_code == 200 and response.json()["version"] == live.versions[product]:
                return
        assert not live.whole

    @rule(asks=ASKS, number=GENERATION)
    def another_generation_is_read(self, asks, number):
        self._ask(asks)
        self._switch(number)

    @rule(asks=ASKS, number=GENERATION, is_whole=st.booleans())
    def a_generation_is_marked(self, asks, number, is_whole):
        self._ask(asks)
        self._mark(number, is_whole)

    @rule(number=GENERATION, product=PRODUCT, is_parked=st.booleans())
    def a_key_is_parked_or_not(self, number, product, is_parked):
        partition, parked = self._partition(product), self.states[number].parked
        key = Generation(number).parked_in(partition)
        if is_parked:
            parked.add(partition)
            self.world.redis.set(key, 1)
        else:
            parked.discard(partition)
            self.world.redis.delete(key)
        self._observe()
        self._announce(number, product)
        self._end()

    @rule()
    def time_runs_out(self):
        self._go_on(100)
        self.world.interruption = None
        self.world.clock.ahead += WAIT
        for waiter in self.waiting:
            waiter.may_be_refused = waiter.is_over = True
        self._end()

    @rule(number=st.integers(0, 10))
    def somebody_leaves(self, number):
        if not self.waiting:
            return
        leaving = self.waiting.pop(number % len(self.waiting))
        leaving.answer.cancel()
        self.world.run(asyncio.wait([leaving.answer]))

    def _ask(self, asks):
        for ask in asks:
            newest = self.states[self.live].versions
            wanted = {product: newest[product] + beyond for product, beyond in ask.beyond.items()}
            tokens = ", ".join(
                self.world.shops[1].token(self.world.products[product].id, version)
                for product, version in wanted.items()
            )
            headers = {"Consistency-Token": tokens, "Prefer": f"wait={ask.wait}"}
            product = self.world.products[next(iter(wanted))]
            answer = self.world.ask(ask.path.format(id=product.id, sku=product.sku), headers)
            waiter = Waiter(wanted, ask.wait, answer, is_over=ask.wait == 0)
            waiter.may_be_answered = any(self._met(waiter, state) for state in self.read)
            self.waiting.append(waiter)
            self._observe()
            self.world.interruption = ask.interruption and (ask.interruption, self._happen)
            self._go_on(ask.turns)

    def _happen(self, interruption):
        match interruption.kind:
            case "applied":
                self._apply(interruption.number, interruption.product)
            case "another generation":
                self._switch(interruption.number)
            case "unmarked":
                self._mark(interruption.number, False)
            case "cut":
                self._cut()

    def _apply(self, number, product):
        """What the projector's script does for an event."""
        versions = self.states[number].versions
        versions[product] += 1
        self.world.shops[number].put(replace(self.world.products[product], version=versions[product]))
        self._observe()
        self._announce(number, product)

    def _switch(self, number):
        self.live = number
        self.world.redis.set(LIVE, number)
        self._observe()

    def _mark(self, number, is_whole):
        self.states[number].whole = is_whole
        if is_whole:
            self.world.redis.set(Generation(number).complete, 1)
        else:
            self.world.redis.delete(Generation(number).complete)
        self._observe()

    def _announce(self, number, product):
        self.world.shops[number].announce(self.world.products[product].id)
        self._tell({product})

    def _cut(self):
        """Once it is there again, everybody looks again."""
        self.world.redis.client_kill_filter(_type="pubsub")
        self._tell(range(PRODUCTS))

    def _tell(self, products):
        partitions = {self._partition(product) for product in products}
        for waiter in self.waiting:
            concerned = partitions & {self._partition(product) for product in waiter.wanted}
            waiter.is_due |= bool(concerned) and self._met(waiter, self.states[self.live])

    def _go_on(self, turns):
        self.world.run(turn(turns))

    def _partition(self, product):
        return partition_of(self.world.products[product].id, 8)

    def _show(self, product):
        return self.world.run(self.world.client.get(f"/products/{self.world.products[product].id}"))

    def _met(self, waiter, state):
        return state.whole and all(
            state.versions[n] >= version and self._partition(n) not in state.parked
            for n, version in waiter.wanted.items()
        )

    def _observe(self):
        """Who has an answer already had it before this."""
        self.read.append(deepcopy(self.states[self.live]))
        for waiter in self.waiting:
            if not waiter.answer.done():
                met = self._met(waiter, self.states[self.live])
                waiter.may_be_answered |= met
                waiter.is_due &= met
                waiter.may_be_refused |= not self.states[self.live].whole or (waiter.wait == 0 and not met)

    def _end(self):
        """Whoever has what it waits for, and whoever has no time left, is answered now."""
        self.world.interruption = None
        due = [waiter for waiter in self.waiting if waiter.is_due or waiter.is_over]
        if due:
            self.world.run(asyncio.wait([waiter.answer for waiter in due], timeout=DEADLINE))
        assert [waiter.wanted for waiter in due if not waiter.answer.done()] == []
        for waiter in [waiter for waiter in self.waiting if waiter.answer.done()]:
            self.waiting.remove(waiter)
            self._is_right(waiter, waiter.answer.result())

    def _is_right(self, waiter, response):
        if response.status_code == 503:
            assert waiter.may_be_refused
            return
        assert response.status_code == 200
        assert waiter.may_be_answered
        document = response.json()
        shown = {one["id"]: one["version"] for one in document.get("items", [document])}
        for product, version in waiter.wanted.items():
            assert shown.get(self.world.products[product].id, version) >= version

    def teardown(self):
        """In the end everything is there for everybody."""
        try:
            self._mark(self.live, True)
            for product in range(PRODUCTS):
                self.a_key_is_parked_or_not(self.live, product, False)
                while any(self.states[self.live].versions[product] < w.wanted.get(product, 0) for w in self.waiting):
                    self.an_event_is_applied([], self.live, product)
            assert self.waiting == []
        finally:
            while self.waiting:
                self.somebody_leaves(0)


def test_no_older_state_is_answered_and_nobody_is_forgotten(world):
    run_state_machine_as_test(partial(Waiting, world), settings=with_faults(examples=60, steps=20))
