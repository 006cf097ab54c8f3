"""The write side without Postgres and without waiting: two processes decide batches on one log, kept in memory.

What the executor does in a transaction is done here with `Store`, which refuses what the database's constraints would.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import orjson

from command_service.bootstrap import ROUTES, use_cases
from command_service.catalog.domain.product import PRODUCT
from command_service.database import Shop
from command_service.decider import Aggregate
from command_service.envelope import CommandEnvelope
from command_service.event_store.store import Changes, Loaded, StoredEvent, StoredReceipt, StoredSnapshot, Wanted
from command_service.executor.batch import Answer, BatchDecider
from command_service.executor.jobs import Acceptance, Accepted, Execution, Job
from command_service.executor.states import Versioned, fold
from command_service.inventory.domain.inventory import INVENTORY
from command_service.orders.domain.expire_order import ExpireOrder
from command_service.orders.domain.order import ORDER
from command_service.queue.documents import CommandReader, message_of
from command_service.ratings.domain.rating import RATING
from command_service.stock_alerts.domain.record_stock_alert import RecordStockAlert
from command_service.stock_alerts.domain.stock_alert import STOCK_ALERTS
from contracts import envelope, events
from contracts.envelope import RecordedEvent
from contracts.streams import kind_of

PARTITIONS = 8
PROCESSES = 2
TODAY = datetime(2026, 11, 21, 10, tzinfo=UTC)

AGGREGATES: dict[str, Aggregate[Any]] = {
    aggregate.kind: cast(Aggregate[Any], aggregate) for aggregate in (PRODUCT, INVENTORY, RATING, ORDER, STOCK_ALERTS)
}
COMMANDS = {route.command.type_name(): route.command for route in ROUTES} | {
    "ExpireOrder": ExpireOrder,
    "RecordStockAlert": RecordStockAlert,
}
READER = CommandReader(COMMANDS, frozenset(route.command.type_name() for route in ROUTES if route.creates))


def read(document: dict[str, Any], now: datetime = TODAY) -> CommandEnvelope:
    """The command of a message, as a worker reads it; raises `NotACommand`."""
    return READER.read_message(document, None, now)


def replay(log: Sequence[RecordedEvent]) -> dict[str, Versioned]:
    """Every stream's state, folded from the log alone: from JSON, as a process does that remembers nothing."""
    states: dict[str, Versioned] = {}
    for recorded in log:
        aggregate = AGGREGATES[kind_of(recorded.stream_id)]
        before = states.get(recorded.stream_id) or Versioned(0, aggregate.initial)
        assert recorded.version == before.version + 1, f"a gap in {recorded.stream_id}"
        event = events.parse(recorded.type, recorded.schema_version, orjson.loads(orjson.dumps(recorded.data)))
        states[recorded.stream_id] = Versioned(recorded.version, aggregate.evolve(before.state, event))
    return states


@dataclass
class Store:
    """What Postgres holds."""

    log: list[RecordedEvent] = field(default_factory=list)
    streams: dict[str, list[StoredEvent]] = field(default_factory=dict)
    receipts: dict[str, StoredReceipt] = field(default_factory=dict)
    claims: dict[str, str] = field(default_factory=dict)
    snapshots: dict[str, StoredSnapshot] = field(default_factory=dict)
    queued: list[str] = field(default_factory=list)
    """Messages of commands that were accepted."""

    def load(self, command_ids: Sequence[str], claims: Sequence[str], wanted: Sequence[Wanted]) -> Loaded:
        loaded = Loaded(
            {i: self.receipts[i] for i in command_ids if i in self.receipts},
            {name: self.claims[name] for name in claims if name in self.claims},
        )
        for one in wanted:
            known, snapshot = one.known_version, self.snapshots.get(one.stream_id)
            if snapshot is not None and snapshot.version > known:
                loaded.snapshots[one.stream_id] = snapshot
                known = snapshot.version
            behind = self.streams.get(one.stream_id, [])[known:]
            if behind:
                loaded.events[one.stream_id] = behind
        return loaded

    def append(self, changes: Changes) -> None:
        for new in changes.events:
            stream = self.streams.setdefault(new.stream_id, [])
            assert new.version == len(stream) + 1, "(stream_id, version) is unique, and there is no gap"
            stream.append(StoredEvent(new.version, new.type, new.schema_version, new.data))
            self.log.append(envelope.decode(orjson.loads(envelope.place(new.message, len(self.log) + 1))))
        assert not changes.claims.keys() & self.claims.keys(), "a claim has one owner"
        self.claims |= changes.claims
        assert not changes.receipts.keys() & self.receipts.keys(), "a command has one receipt"
        assert changes.finished.keys() <= self.receipts.keys(), "what is finished was accepted"
        assert all(self.receipts[i].status == "accepted" for i in changes.finished), "and had not ended"
        for receipt in (*changes.receipts.values(), *changes.finished.values()):
            self.receipts[receipt.command_id] = StoredReceipt(receipt.fingerprint, receipt.status, receipt.outcome)
        for snapshot in changes.snapshots.values():
            kept = StoredSnapshot(snapshot.version, snapshot.snapshot_version, snapshot.state)
            self.snapshots[snapshot.stream_id] = kept
        self.queued += [message for _, message in changes.queued]


class WriteSide:
    """Processes that decide; each remembers the states that it saw, and does not hear of what the other wrote."""

    def __init__(self, currency: str) -> None:
        self.store = Store()
        self._cases = use_cases(Shop(PARTITIONS, currency))
        self._memories: list[dict[str, Versioned]] = [{} for _ in range(PROCESSES)]
        self.newest: dict[str, Versioned] = {}
        """The states as they were when they were decided."""

    def execution(self, command: CommandEnvelope) -> Execution:
        return Execution.of(command, self._cases[type(command.command)], cast(Any, None))

    def acceptance(self, command: CommandEnvelope) -> Acceptance:
        message = orjson.dumps(message_of(command)).decode()
        accepted = Accepted(command.command_id, command.fingerprint, command.type, command.submitted_at, 0, message)
        return Acceptance([accepted], cast(Any, None))

    def forget(self, process: int) -> None:
        """The process starts anew."""
        self._memories[process].clear()

    def commit(self, jobs: Sequence[Job], process: int) -> list[Answer]:
        """One batch; the answers in its order."""
        memory = self._memories[process]
        for job in jobs:
            if isinstance(job, Execution) and job.use_case.follows is not None:
                target = job.target
                behind = self.store.load([], [], [_wanted(target.id, target.aggregate, memory)])
                job.foresee(fold(target, memory.get(target.id), behind).state)
        streams = {stream.id: stream for job in jobs for stream in job.streams()}
        loaded = self.store.load(
            [i for job in jobs for i in job.command_ids],
            [claim for job in jobs for claim in job.claims],
            [_wanted(stream.id, stream.aggregate, memory) for stream in streams.values()],
        )
        known = {i: memory[i] for i in streams if i in memory}
        now = TODAY + timedelta(seconds=len(self.store.receipts))
        decided = BatchDecider(known, loaded, streams.keys(), PARTITIONS, now).decide_all(jobs)
        self.store.append(decided.changes)
        memory |= decided.states
        self.newest |= decided.states
        return [answer for _, answer in decided.answers]


def _wanted(stream_id: str, aggregate: Aggregate[Any], memory: dict[str, Versioned]) -> Wanted:
    known = memory.get(stream_id)
    return Wanted(stream_id, known.version if known else 0, aggregate.snapshot_version)
