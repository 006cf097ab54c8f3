"""Deciding one batch: pure bookkeeping between what was loaded and what is to be written."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import orjson

from chassis.logging import get_logger
from chassis.problems import problem_document
from command_service.decider import Decision, Rejection, Stream, UseCase
from command_service.envelope import CommandEnvelope, ExecutionFailed, KeyReused, Outcome
from command_service.event_store.locks import claim_lock, command_lock, stream_lock
from command_service.event_store.store import Changes, Loaded, NewEvent, NewReceipt, NewSnapshot
from command_service.executor.states import BatchStates, Placed, Versioned
from command_service.problems import NotThere, VersionMismatch
from contracts import tokens
from contracts.envelope import Metadata, encode_unplaced, rfc3339
from contracts.topology import partition_of

log = get_logger(__name__)

SNAPSHOT_EVERY: Final = 50
"""Events after which a stream's state is written down, which bounds how many are ever folded to load it."""


@dataclass(slots=True)
class Job:
    """A command that waits for its outcome, with all that it touches."""

    envelope: CommandEnvelope
    use_case: UseCase[Any]
    done: "asyncio.Future[Outcome]"
    target: Stream[Any]
    writes: tuple[Stream[Any], ...]
    reads: tuple[Stream[Any], ...]
    claims: tuple[str, ...]

    @staticmethod
    def of(envelope: CommandEnvelope, use_case: UseCase[Any], done: "asyncio.Future[Outcome]") -> "Job":
        command = envelope.command
        target = use_case.target(command)
        return Job(
            envelope,
            use_case,
            done,
            target,
            (target, *use_case.also_writes(command)),
            tuple(use_case.reads(command)),
            tuple(use_case.claims(command)),
        )

    def exclusive_locks(self) -> list[str]:
        """Everything it may write, absent things too: new streams, claims and its own id."""
        return [
            command_lock(self.envelope.command_id),
            *(stream_lock(stream.id) for stream in self.writes),
            *(claim_lock(claim) for claim in self.claims),
        ]

    def shared_locks(self) -> list[str]:
        return [stream_lock(stream.id) for stream in self.reads]

    def lock_count(self) -> int:
        return 1 + len(self.writes) + len(self.reads) + len(self.claims)

    def succeed(self, outcome: Outcome) -> None:
        if not self.done.done():
            self.done.set_result(outcome)

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)


Answer = Outcome | KeyReused | ExecutionFailed


@dataclass(slots=True)
class Decided:
    """What a batch came to: what to write, and what to answer once that is committed."""

    changes: Changes
    answers: list[tuple[Job, Answer]]
    states: dict[str, Versioned]


@dataclass(slots=True)
class _Receipts:
    """The receipts known while deciding: those loaded, and those of this batch's earlier commands."""

    loaded: Loaded
    made: dict[str, tuple[bytes, Outcome]] = field(default_factory=dict)

    def find(self, command_id: str) -> tuple[bytes, Outcome] | None:
        made = self.made.get(command_id)
        if made is not None:
            return made
        stored = self.loaded.receipts.get(command_id)
        return None if stored is None else (stored.fingerprint, Outcome.from_json(stored.outcome))


@dataclass(frozen=True, slots=True)
class _Made:
    """What one command came to."""

    outcome: Outcome
    receipt: NewReceipt
    placed: list[Placed]
    events: list[NewEvent]
    snapshots: dict[str, NewSnapshot]


class BatchDecider:
    """Decides one command after the other, each seeing what those before it did."""

    def __init__(self, known: dict[str, Versioned], loaded: Loaded, partitions: int, now: datetime) -> None:
        self._states = BatchStates(known, loaded)
        self._receipts = _Receipts(loaded)
        self._partitions = partitions
        self._recorded_at = rfc3339(now)
        self._changes = Changes()

    def decide_all(self, jobs: Sequence[Job]) -> Decided:
        answers = [(job, self._answer(job)) for job in jobs]
        return Decided(self._changes, answers, self._states.all())

    def _answer(self, job: Job) -> Answer:
        envelope = job.envelope
        earlier = self._receipts.find(envelope.command_id)
        if earlier is not None:
            fingerprint, outcome = earlier
            return outcome if fingerprint == envelope.fingerprint else KeyReused()
        try:
            made = self._make(job)
        except Exception as error:
            # Deciding is pure, and nothing was kept yet: what failed concerns this command alone.
            log.exception("decision_failed", command=envelope.type, command_id=envelope.command_id)
            return ExecutionFailed(str(error))
        self._keep(job, made)
        return made.outcome

    def _make(self, job: Job) -> _Made:
        """All that can fail of a command, before any of it is kept."""
        envelope = job.envelope
        outcome, placed = self._decide(job)
        metadata = Metadata(
            command=envelope.type,
            command_id=envelope.command_id,
            correlation_id=envelope.correlation_id,
            causation_id=envelope.causation_id,
            actor=envelope.actor,
            traceparent=envelope.traceparent,
        )
        metadata_json = orjson.dumps(metadata).decode() if placed else ""
        receipt = NewReceipt(
            envelope.command_id,
            envelope.fingerprint,
            envelope.type,
            outcome.status,
            outcome.to_json(),
            envelope.submitted_at,
        )
        return _Made(
            outcome,
            receipt,
            placed,
            [self._new_event(one, metadata, metadata_json) for one in placed],
            {one.stream.id: _snapshot(one) for one in placed if one.after.version % SNAPSHOT_EVERY == 0},
        )

    def _keep(self, job: Job, made: _Made) -> None:
        self._states.keep(made.placed)
        self._receipts.made[job.envelope.command_id] = (job.envelope.fingerprint, made.outcome)
        self._changes.receipts.append(made.receipt)
        self._changes.events += made.events
        self._changes.snapshots |= made.snapshots
        for claim in job.claims if made.placed else ():
            self._states.claim(claim, job.target.id)
            self._changes.claims[claim] = job.target.id

    def _decide(self, job: Job) -> tuple[Outcome, list[Placed]]:
        """404 before 412 before 409: what does not exist has no version, and a stale reader learns that first."""
        refusal: Rejection | None = None
        decision: Decision = ()
        current = self._states.versioned(job.target)
        try:
            decision = job.use_case.decide(job.envelope.command, self._states)
        except Rejection as rejection:
            refusal = rejection
        expected = job.envelope.expected_version
        if (
            expected is not None
            and not isinstance(refusal, NotThere)
            and not expected.accepts(current.version, job.target.aggregate.exists(current.state))
        ):
            refusal = VersionMismatch(current.version)
        if refusal is not None:
            return Outcome("rejected", problem=problem_document(refusal.kind, refusal.detail, refusal.members)), []
        placed = self._states.place(decision)
        version = max((one.after.version for one in placed if one.stream.id == job.target.id), default=current.version)
        outcome = Outcome(
            "succeeded",
            version=version,
            token=self._token(job.target, version, placed),
            result=job.use_case.result(job.envelope.command),
        )
        return outcome, placed

    def _new_event(self, placed: Placed, metadata: Metadata, metadata_json: str) -> NewEvent:
        stream, event, version = placed.stream, placed.event, placed.after.version
        data = event.model_dump()
        key = stream.partition_key
        return NewEvent(
            stream.id,
            version,
            key,
            partition_of(key, self._partitions),
            event.type,
            event.schema_version,
            orjson.dumps(data).decode(),
            metadata_json,
            encode_unplaced(
                stream.id, version, key, event.type, event.schema_version, data, self._recorded_at, metadata
            ),
        )

    def _token(self, target: Stream[Any], version: int, placed: Sequence[Placed]) -> str:
        """Each touched partition's last event; without any event, the target as it is."""
        last: dict[int, tuple[str, int]] = {}
        for one in placed:
            partition = partition_of(one.stream.partition_key, self._partitions)
            last[partition] = (one.stream.id, one.after.version)
        if not placed:
            last[partition_of(target.partition_key, self._partitions)] = (target.id, version)
        return tokens.encode(last, self._partitions)


def _snapshot(placed: Placed) -> NewSnapshot:
    aggregate = placed.stream.aggregate
    state = aggregate.snapshot.dump_json(placed.after.state).decode()
    return NewSnapshot(placed.stream.id, placed.after.version, aggregate.snapshot_version, state)
