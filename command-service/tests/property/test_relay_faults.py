"""Whatever breaks under relays: each committed row arrives, none before one that it follows, and no other does."""

from collections.abc import Iterator
from functools import partial

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from command_service.outbox import packing
from command_service.outbox import relay as relay_module

from .relay_faults import LANES, PARTITIONS, POINTS, RELAYS, WRITERS, Fault, Pipeline, Session
from .running import SHRINKING_SECONDS, TIMES, with_faults

pytestmark = pytest.mark.timeout(SHRINKING_SECONDS * TIMES)

KINDS = ("the relay is killed", "postgres hangs up", "the broker hangs up", "the answer is no", "another commits")
FAULTS = st.sampled_from(
    [Fault(point, kind) for point in POINTS for kind in KINDS if kind != "the answer is no" or point in POINTS[:2]]
)
RELAY = st.integers(0, RELAYS - 1)
POINTS_PASSED = st.integers(1, 16)
WRITTEN = st.lists(st.sampled_from(LANES), min_size=1, max_size=12)


@pytest.fixture
def pipeline(shop_url: str, rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipeline]:
    """With small messages, so that a few rows are several; and relays that soon look again."""
    pipeline = Pipeline(shop_url, rabbitmq_url)
    monkeypatch.setattr(Session, "pipeline", pipeline, raising=False)
    monkeypatch.setattr(relay_module, "RelaySession", Session)
    monkeypatch.setattr(relay_module, "backoff", lambda failures: 0.01)
    monkeypatch.setattr(relay_module, "CLAIM_SECONDS", 0.02)
    monkeypatch.setattr(relay_module, "READ_ROWS", 7)
    monkeypatch.setattr(packing, "MAX_EVENTS_PER_MESSAGE", 3)
    with pipeline.runner:
        pipeline.run(pipeline.start())
        yield pipeline
        pipeline.run(pipeline.close())


class Relaying(RuleBasedStateMachine):
    def __init__(self, pipeline: Pipeline) -> None:
        super().__init__()
        self.pipeline = pipeline
        pipeline.run(pipeline.bind_all())

    @rule(written=WRITTEN, stays_open=st.booleans())
    def a_transaction_writes(self, written: list[int], stays_open: bool) -> None:
        self.pipeline.run(self.pipeline.write(written))
        if not stays_open:
            self.pipeline.run(self.pipeline.end(-1, "COMMIT"))

    @rule(which=st.integers(0, WRITERS), how=st.sampled_from(("COMMIT", "COMMIT", "ROLLBACK")))
    def a_transaction_ends(self, which: int, how: str) -> None:
        self.pipeline.run(self.pipeline.end(which, how))

    @rule(number=RELAY, written=WRITTEN, faults=st.lists(FAULTS, max_size=4), points=POINTS_PASSED)
    def something_breaks_while_a_relay_publishes(
        self, number: int, written: list[int], faults: list[Fault], points: int
    ) -> None:
        self.a_transaction_writes(written, stays_open=False)
        self.pipeline.faults += faults
        self.pipeline.start_relay(number)
        self.relays_work(points)

    @rule(points=POINTS_PASSED)
    def relays_work(self, points: int) -> None:
        self.pipeline.run(self.pipeline.work(points))

    @rule(number=RELAY)
    def a_relay_stops(self, number: int) -> None:
        self.pipeline.run(self.pipeline.stop_relays(number))

    @rule(lane=st.integers(0, PARTITIONS - 1))
    def a_queue_is_not_there(self, lane: int) -> None:
        self.pipeline.run(self.pipeline.unbind(lane))

    @rule()
    def all_queues_are_there(self) -> None:
        self.pipeline.run(self.pipeline.bind_all())

    def teardown(self) -> None:
        try:
            self.pipeline.run(self.pipeline.drain())
            for lane in LANES:
                self._arrived_in_order(lane)
            assert self.pipeline.most_unconfirmed <= 1
        finally:
            self.pipeline.run(self.pipeline.leave())

    def _arrived_in_order(self, lane: int) -> None:
        committed = {row.number: row for row in self.pipeline.rows if row.lane == lane and row.done is not None}
        arrived = self.pipeline.run(self.pipeline.arrived(lane))
        assert sorted(arrived) == sorted(committed)
        rows = [committed[number] for number in arrived]
        overtaken = [(row, late) for n, row in enumerate(rows) for late in rows[n + 1 :] if late.must_precede(row)]
        assert overtaken == []


def test_whatever_breaks_committed_rows_arrive_in_their_order(pipeline: Pipeline) -> None:
    run_state_machine_as_test(partial(Relaying, pipeline), settings=with_faults(examples=20, steps=25))
