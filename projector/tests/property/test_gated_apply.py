"""However events come and whatever is lost under them: the read model is the fold of what it says it has applied."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from random import Random

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from projector_testing.shop import PARTITIONS, product_id
from projector_testing.trading import shop, trade

from contracts.envelope import RecordedEvent
from contracts.topology import partition_of

from .breaking import LEASE, Fault, World, break_scripts
from .running import SHRINKING_SECONDS, TIMES, with_faults

pytestmark = pytest.mark.timeout(SHRINKING_SECONDS * TIMES)

PRODUCTS = 4
MOST_WALKS = 12
"""So many bring everything, if nothing is in their way: what the first misses, the second looks for."""

KINDS = (*["another comes first"] * 4, "an older copy", "an older copy", "cut", "flushed", "flushed", "not whole")
ONE_FAULT = st.builds(
    Fault,
    st.sampled_from((0, 0, 0, 1, 1, 2)),
    st.sampled_from((False, False, False, True)),
    st.sampled_from((*KINDS, "another leads")),
)
FAULTS = st.sampled_from((0, 1, 1, 2)).flatmap(lambda count: st.lists(ONE_FAULT, min_size=count, max_size=count))
PROJECTOR = st.integers(0, 1)
WALKS = st.lists(PROJECTOR, max_size=2)
SEED = st.integers(0, 2**32)


@dataclass(frozen=True)
class Delivery:
    """Some events of a partition, from `ahead` behind the last that was delivered."""

    partition: int
    ahead: int
    length: int
    shuffled: bool
    hole: int | None
    """The number of one that is missing."""


DELIVERIES = st.builds(
    Delivery,
    st.integers(0, PARTITIONS - 1),
    st.sampled_from((0, 0, 0, 0, -3, -10, 1, 4)),
    st.integers(1, 12),
    st.booleans(),
    st.sampled_from((None, None, None, 0, 1, 3)),
)


@dataclass(frozen=True)
class Coming:
    """They trade, and some of it comes to a projector; `meanwhile` comes to the other when a fault says so."""

    traded: int
    delivery: Delivery
    projector: int
    faults: list[Fault]
    meanwhile: Delivery
    seed: int


COMINGS = st.lists(
    st.builds(Coming, st.integers(0, 12), DELIVERIES, PROJECTOR, FAULTS, DELIVERIES, SEED),
    min_size=1,
    max_size=3,
)


@pytest.fixture
def world(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    world = World(redis_url)
    break_scripts(world, monkeypatch)
    with world.runner:
        world.run(world.start())
        yield world
        world.run(world.close())


class Projecting(RuleBasedStateMachine):
    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world

    @initialize(seed=SEED)
    def a_shop(self, seed: int) -> None:
        self.world.run(self.world.begin(shop(products=PRODUCTS, traded=20, seed=seed)))
        self.projectors = [self.world.projector() for _ in range(2)]
        self.world.run(self.projectors[0].walk.once())
        self.delivered = [len(self.world.log.of_partition(partition)) for partition in range(PARTITIONS)]
        self._check()

    @rule(comings=COMINGS)
    def events_come(self, comings: list[Coming]) -> None:
        for coming in comings:
            self._come(coming)

    @rule(comings=COMINGS)
    def projectors_walk_and_nothing_comes(self, comings: list[Coming]) -> None:
        for coming in comings:
            self._trade(coming)
            # A walk knows a Redis that was restarted with an older copy by its run id, which stays the same here.
            faults = [fault for fault in coming.faults if fault.kind != "an older copy"]
            self._arm(faults, 1 - coming.projector, coming.meanwhile, Random(coming.seed))
            self._walk([coming.projector])

    @rule(comings=COMINGS, walks=WALKS)
    def redis_loses_its_last_writes(self, comings: list[Coming], walks: list[int]) -> None:
        self.world.run(self.world.copy())
        self.events_come(comings)
        self.world.run(self.world.restore_copy())
        self._check()
        self._walk(walks)

    @rule(comings=COMINGS, walks=WALKS)
    def redis_is_flushed(self, comings: list[Coming], walks: list[int]) -> None:
        self.world.run(self.world.lose_all())
        self._walk(walks)
        self.events_come(comings)

    @rule(number=PROJECTOR, comings=COMINGS)
    def the_leader_dies_and_a_projector_starts(self, number: int, comings: list[Coming]) -> None:
        self.world.run(self.world.redis.delete(LEASE))
        self.projectors[number] = self.world.projector()
        self.events_come(comings)

    def _come(self, coming: Coming) -> None:
        chance, partition = Random(coming.seed), coming.delivery.partition
        self._trade(coming)
        if not (events := self._events(coming.delivery, chance)):
            return
        self._arm(coming.faults, 1 - coming.projector, replace(coming.meanwhile, partition=partition), chance)
        if not self.world.run(self.projectors[coming.projector].apply(partition, events)):
            # Who holds a message wakes the walk.
            self._check()
            self._walk([coming.projector])
            return
        was_lost = not self.world.versions
        self._check()
        self.delivered[partition] = max(self.delivered[partition], self._end(events))
        assert was_lost or all(self.world.versions.get(e.stream_id, 0) >= e.version for e in events)

    def _trade(self, coming: Coming) -> None:
        trade(self.world.log, [product_id(n) for n in range(1, PRODUCTS + 1)], coming.traded, coming.seed)

    def _walk(self, walks: list[int]) -> None:
        for projector in walks:
            self.world.run(self.projectors[projector].walk.once())
            self._check()

    def _arm(self, faults: list[Fault], other: int, delivery: Delivery, chance: Random) -> None:
        self.world.faults[:] = faults
        if events := self._events(delivery, chance):
            self.world.overtake = partial(self.projectors[other].apply, delivery.partition, events)

    def _events(self, delivery: Delivery, chance: Random) -> list[RecordedEvent]:
        start = max(0, self.delivered[delivery.partition] + delivery.ahead)
        events = self.world.log.of_partition(delivery.partition)[start : start + delivery.length]
        if delivery.hole is not None:
            del events[delivery.hole : delivery.hole + 1]
        if delivery.shuffled:
            chance.shuffle(events)
            events += events[:2]
        return events

    def _end(self, events: list[RecordedEvent]) -> int:
        """How many of their partition's events have come when these have."""
        partition = partition_of(events[0].partition_key, PARTITIONS)
        last = max(event.position for event in events)
        return sum(event.position <= last for event in self.world.log.of_partition(partition))

    def _check(self) -> None:
        self.world.faults.clear()
        self.world.overtake = None
        self.world.run(self.world.is_fold_of_its_versions())

    def teardown(self) -> None:
        """Nothing comes any more, and nothing breaks: what is missing still, the walk brings."""
        self.world.run(self.world.redis.delete(LEASE))
        for _ in range(MOST_WALKS):
            if self.world.run(self.world.is_level()):
                break
            self.world.run(self.projectors[0].walk.once())
        self._check()
        assert self.world.run(self.world.is_level())


def test_the_read_model_is_the_fold_of_what_it_has_applied_and_gets_level_by_itself(world: World) -> None:
    run_state_machine_as_test(partial(Projecting, world), settings=with_faults(examples=14, steps=10))
