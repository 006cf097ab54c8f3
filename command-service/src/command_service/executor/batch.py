"""Deciding one batch: pure bookkeeping between what was loaded and what is to be written."""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

import orjson

from chassis.logging import get_logger
from chassis.problems import problem_document
from command_service.decider import Decision, Rejection, Stream
from command_service.envelope import ExecutionFailed, KeyReused, Outcome
from command_service.event_store.store import Changes, Loaded, NewEvent, NewReceipt, NewSnapshot
from command_service.executor.jobs import Acceptance, Accepted, Execution, Job
from command_service.executor.states import BatchStates, NotForeseen, Placed, Versioned
from command_service.problems import NotThere, VersionMismatch
from contracts import tokens
from contracts.envelope import Metadata, encode_unplaced, rfc3339
from contracts.topology import partition_of

log = get_logger(__name__)

SNAPSHOT_EVERY: Final = 50
"""Events after which a stream's state is written down, which bounds how many are ever folded to load it."""


@dataclass(frozen=True, slots=True)
class IsAccepted:
    """The answer to an acceptance."""


Answer = Outcome | IsAccepted | KeyReused | ExecutionFailed


@dataclass(slots=True)
class Decided:
    """What a batch came to: what to write, and what to answer once that is committed."""

    changes: Changes
    answers: list[tuple[Job, Answer]]
    states: dict[str, Versioned]


@dataclass(frozen=True, slots=True)
class _Earlier:
    """What is known of a command's id: what it stands for, and how it ended, if it has for good."""

    fingerprint: bytes
    outcome: Outcome | None


@dataclass(slots=True)
class _Receipts:
    """The receipts known while deciding: those loaded, and those of this batch's earlier commands."""

    loaded: Loaded
    changes: Changes

    def find(self, command_id: str) -> _Earlier | None:
        made = self.changes.finished.get(command_id) or self.changes.receipts.get(command_id)
        found = made or self.loaded.receipts.get(command_id)
        if found is None:
            return None
        final = found.outcome if found.status not in ("accepted", "failed") else None
        return _Earlier(found.fingerprint, None if final is None else Outcome.from_json(final))

    def keep(self, receipt: NewReceipt) -> None:
        """A new row; or, where the id is in the table already, what that row becomes."""
        stored = receipt.command_id in self.loaded.receipts
        (self.changes.finished if stored else self.changes.receipts)[receipt.command_id] = receipt


class _Made(NamedTuple):
    """What one command came to."""

    outcome: Outcome
    receipt: NewReceipt
    placed: list[Placed]
    events: list[NewEvent]
    snapshots: dict[str, NewSnapshot]


class BatchDecider:
    """Decides one command after the other, each seeing what those before it did."""

    def __init__(
        self, known: dict[str, Versioned], loaded: Loaded, foreseen: Set[str], partitions: int, now: datetime
    ) -> None:
        self._states = BatchStates(known, loaded, foreseen)
        self._partitions = partitions
        self._recorded_at = rfc3339(now)
        self._changes = Changes()
        self._receipts = _Receipts(loaded, self._changes)

    def decide_all(self, jobs: Sequence[Job]) -> Decided:
        """Raises `NotForeseen`, and then nothing of the batch may be written."""
        answers = [(job, self._answer(job)) for job in jobs]
        return Decided(self._changes, answers, self._states.all())

    def _answer(self, job: Job) -> Answer:
        if isinstance(job, Acceptance):
            return self._accept(job)
        assert isinstance(job, Execution)
        return self._execute(job)

    def _accept(self, job: Acceptance) -> Answer:
        """A command that is there already, in whatever state, is accepted again and not queued again."""
        new: dict[str, Accepted] = {}
        for index, command in enumerate(job.commands):
            twin = new.get(command.command_id)
            earlier = twin or self._receipts.find(command.command_id)
            if earlier is None:
                new[command.command_id] = command
            elif earlier.fingerprint != command.fingerprint:
                return KeyReused(index)
        for command in new.values():
            self._receipts.keep(
                NewReceipt(
                    command.command_id,
                    command.fingerprint,
                    command.type,
                    "accepted",
                    None,
                    command.submitted_at,
                    command.message,
                )
            )
            self._changes.queued.append((command.lane, command.message))
        return IsAccepted()

    def _execute(self, job: Execution) -> Answer:
        envelope = job.envelope
        earlier = self._receipts.find(envelope.command_id)
        if earlier is not None:
            if earlier.fingerprint != envelope.fingerprint:
                return KeyReused()
            if earlier.outcome is not None:
                return earlier.outcome
        try:
            made = self._make(job)
        except NotForeseen:
            raise
        except Exception as error:
            # Deciding is pure, and nothing was kept yet: what failed concerns this command alone.
            log.exception("decision_failed", command=envelope.type, command_id=envelope.command_id)
            return ExecutionFailed(str(error))
        self._keep(job, made)
        return made.outcome

    def _make(self, job: Execution) -> _Made:
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
            effective_at=rfc3339(envelope.effective_at) if envelope.effective_at is not None else None,
        )
        metadata_json = orjson.dumps(metadata._asdict()).decode() if placed else ""
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

    def _keep(self, job: Execution, made: _Made) -> None:
        self._states.keep(made.placed)
        self._receipts.keep(made.receipt)
        self._changes.events += made.events
        self._changes.snapshots |= made.snapshots
        for claim in job.claims if made.placed else ():
            self._states.claim(claim, job.target.id)
            self._changes.claims[claim] = job.target.id

    def _decide(self, job: Execution) -> tuple[Outcome, list[Placed]]:
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
