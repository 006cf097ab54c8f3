"""Group commit: commands that arrive while a batch is being committed form the next one.

There is no timer. A lone command is committed at once; under load a commit, which costs about the same for one
command as for a hundred, is shared. Each batch costs four round trips: begin and lock, load, append, commit; one more,
ahead of them, where a command's target is not remembered that names what else it writes.

Where a full batch waits while one is being committed, it is committed beside it, on a second connection, so that
deciding the one and writing the other go on at the same time (decisions/0010-a-full-batch-does-not-wait.md).
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncEngine
from tenacity import AsyncRetrying, RetryError, retry_if_exception_type, stop_after_delay, wait_random_exponential

from chassis.logging import get_logger
from chassis.tasks import together
from command_service.decider import Command, Stream, UseCase
from command_service.envelope import CommandEnvelope, ExecutionFailed, Outcome, Unavailable
from command_service.event_store.locks import merge
from command_service.event_store.store import BatchTransaction, Wanted, is_fault
from command_service.executor import metrics
from command_service.executor.batch import Answer, BatchDecider, Decided
from command_service.executor.jobs import Acceptance, Accepted, Execution, Job
from command_service.executor.session import Session
from command_service.executor.states import NotForeseen, StateMemory, Versioned, fold

log = get_logger(__name__)

MAX_BATCH: Final = 256
"""Commands in one transaction."""

MAX_LOCKS: Final = 1800
"""Advisory locks of a process at a time: Postgres holds max_locks_per_transaction × max_connections of all."""

MAX_WAITING: Final = 20_000
"""Commands that may wait; more are refused as unavailable, because memory is bounded."""

WakeUp = Callable[[], None]


_ABSENT: Final = Versioned(0, None)

MAX_FORESEEING: Final = 3
"""How often a batch looks at what it must lock: what it follows may come to be meanwhile, but not again and again."""


class TooManyLocks(Exception):
    """A batch turned out to write more than a transaction may lock."""


class Fault(Exception):
    """Postgres, or the way to it, failed during a batch: its outcome is looked up and it is tried again."""


class Executor:
    """Executes commands, many in one commit. One rejection touches no other command.

    `execute` answers after the commit. Run `run` beside it, once.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        use_cases: Mapping[type[Command], UseCase[Any]],
        partitions: int,
        *,
        wake_relay: WakeUp = lambda: None,
        wake_waiting: WakeUp = lambda: None,
        memory: int = 20_000,
        retry_seconds: float = 5.0,
    ) -> None:
        self._sessions = (Session(engine, memory), Session(engine, memory))
        self._use_cases = use_cases
        self._partitions = partitions
        self._wake_relay = wake_relay
        self._wake_waiting = wake_waiting
        self._retry_seconds = retry_seconds
        self._waiting: deque[Job] = deque()
        self._arrived = asyncio.Event()
        self._crowded = asyncio.Event()
        self._committing: list[list[Job]] = []

    async def execute(self, envelope: CommandEnvelope) -> Outcome:
        """Runs the command once, whatever happens on the way, and answers when it is safe.

        Raises:
            KeyReused: its id came before with other content.
            ExecutionFailed: a fault of ours; nothing of it was written.
            Unavailable: Postgres can't be reached, or too many commands wait.
        """
        job = Execution.of(
            envelope, self._use_cases[type(envelope.command)], asyncio.get_running_loop().create_future()
        )
        self._take(job)
        return await job.done

    async def accept(self, commands: Sequence[Accepted]) -> None:
        """Keeps commands for later, all or none, in their order; those that were accepted before only once.

        Raises:
            KeyReused: the id of the one at its `index` came before with other content.
            ExecutionFailed, Unavailable: as `execute` does.
        """
        job = Acceptance(commands, asyncio.get_running_loop().create_future())
        self._take(job)
        await job.done

    def target_of(self, command: Command) -> Stream[Any]:
        """The stream that a command is about."""
        target: Stream[Any] = self._use_cases[type(command)].target(command)
        return target

    def _take(self, job: Job) -> None:
        if len(self._waiting) >= MAX_WAITING:
            raise Unavailable("too many commands are waiting")
        self._waiting.append(job)
        self._arrived.set()
        if len(self._waiting) == MAX_BATCH:
            self._crowded.set()

    async def run(self) -> None:
        """Commits batches until cancelled; then what still waits is refused."""
        first, second = self._sessions
        try:
            await together(
                self._commit_batches(first, 1, self._arrived), self._commit_batches(second, MAX_BATCH, self._crowded)
            )
        finally:
            _fail(self._waiting, Unavailable("shutting down"))
            for session in self._sessions:
                await session.disconnect()

    async def _commit_batches(self, session: Session, least: int, told: asyncio.Event) -> None:
        """Commits one batch after the other, each as soon as so many jobs wait; `told` when it is worth a look."""
        while True:
            await told.wait()
            told.clear()
            while len(self._waiting) >= least and (batch := self._next_batch()):
                await self._finish(session, batch)

    def _next_batch(self) -> list[Job]:
        """Those that came first, but none that touches what another batch is about to change.

        Such a job waits, and with it all behind it that touch the same: commands of a stream never overtake each other.
        No more than a batch of them is looked past: where all want the same, looking must not cost more than it gives.
        """
        held = {name for batch in self._committing for job in batch for name in job.ordered_within()}
        locks = sum(job.lock_count() for batch in self._committing for job in batch)
        batch: list[Job] = []
        left: list[Job] = []
        while self._waiting and len(batch) < MAX_BATCH and len(left) < MAX_BATCH:
            job = self._waiting.popleft()
            if held and not held.isdisjoint(names := job.ordered_within()):
                held.update(names)
                left.append(job)
                continue
            locks += job.lock_count()
            if (batch or self._committing) and locks > MAX_LOCKS:
                left.append(job)
                break
            batch.append(job)
        self._waiting.extendleft(reversed(left))
        return batch

    async def _finish(self, session: Session, batch: list[Job]) -> None:
        """Answers every job of the batch, whatever happens."""
        self._committing.append(batch)
        self._crowded.set()
        try:
            await self._commit_or_split(session, batch)
        except asyncio.CancelledError:
            _fail(batch, Unavailable("shutting down"))
            raise
        except Unavailable as error:
            # With all that wait: whoever sent several in order and sends them again must not have one overtaken.
            _fail([*batch, *self._waiting], error)
            self._waiting.clear()
        finally:
            self._committing.remove(batch)
            # What waited for these may go on, in either session.
            self._arrived.set()
            self._crowded.set()

    async def _commit_or_split(self, session: Session, batch: list[Job]) -> None:
        """Commits the batch; an unexpected error splits it, until it concerns only the command that causes it."""
        try:
            decided = await self._with_retries(session, batch)
        except Fault as fault:
            raise Unavailable(str(fault)) from fault
        except TooManyLocks:
            await self._split(session, batch)
            return
        except Exception as error:
            log.exception("batch_failed", commands=len(batch))
            if len(batch) == 1:
                batch[0].fail(ExecutionFailed(str(error)))
            else:
                await self._split(session, batch)
            return
        for job, answer in decided.answers:
            _tell(job, answer)

    async def _split(self, session: Session, batch: list[Job]) -> None:
        middle = len(batch) // 2
        await self._commit_or_split(session, batch[:middle])
        await self._commit_or_split(session, batch[middle:])

    async def _with_retries(self, session: Session, batch: Sequence[Job]) -> Decided:
        """Tries over a fault. Every try looks up the receipts under the commands' locks before it decides.

        So a commit whose answer was lost is found, not made again; and a try of which the server does not yet know
        that it has failed still holds those locks.
        """
        retrying = AsyncRetrying(
            stop=stop_after_delay(self._retry_seconds),
            wait=wait_random_exponential(multiplier=0.1, max=1.0),
            retry=retry_if_exception_type(Fault),
        )
        try:
            async for attempt in retrying:
                with attempt:
                    return await self._commit(session, batch)
        except RetryError as error:
            raise error.last_attempt.exception() or error from None
        raise AssertionError("unreachable")

    async def _commit(self, session: Session, batch: Sequence[Job]) -> Decided:
        started = time.perf_counter()
        try:
            connection = await session.connect()
            decided = await self._transact(BatchTransaction(connection), batch, session.memory)
        except TooManyLocks:
            raise
        except BaseException as error:
            await session.disconnect()
            if is_fault(error):
                metrics.FAULTS.inc()
                log.warning("postgres_fault", error=type(error).__name__, commands=len(batch))
                raise Fault(type(error).__name__) from error
            raise
        metrics.BATCH_COMMANDS.observe(len(batch))
        metrics.COMMIT_SECONDS.observe(time.perf_counter() - started)
        for stream_id, versioned in decided.states.items():
            session.memory.put(stream_id, versioned)
        if decided.changes.events or decided.changes.queued:
            self._wake_relay()
        if decided.changes.finished:
            self._wake_waiting()
        return decided

    async def _transact(self, transaction: BatchTransaction, batch: Sequence[Job], memory: StateMemory) -> Decided:
        for _ in range(MAX_FORESEEING):
            await self._foresee(transaction, batch, memory)
            exclusive = [name for job in batch for name in job.exclusive_locks()]
            shared = [name for job in batch for name in job.shared_locks()]
            await transaction.begin(merge(exclusive, shared))
            known, wanted = _wanted(batch, memory)
            claims = [claim for job in batch for claim in job.claims]
            loaded = await transaction.load([i for job in batch for i in job.command_ids], claims, wanted)
            now = datetime.now(UTC)
            foreseen = {one.stream_id for one in wanted}
            try:
                decided = BatchDecider(known, loaded, foreseen, self._partitions, now).decide_all(batch)
            except NotForeseen:
                await transaction.rollback()
                continue
            if decided.changes.any():
                await transaction.append(decided.changes, now)
            await transaction.commit()
            return decided
        raise RuntimeError("a batch could not foresee what it writes")

    async def _foresee(self, transaction: BatchTransaction, batch: Sequence[Job], memory: StateMemory) -> None:
        """Without any lock, what the batch must know to know what it writes: the targets that name more streams.

        A target that is not there yet names nothing. If it comes to be in this very batch, whoever makes it writes
        those streams too; if elsewhere, deciding raises `NotForeseen`.
        """
        following = [job for job in batch if isinstance(job, Execution) and job.use_case.follows is not None]
        if not following:
            return
        states = {job.target.id: memory.get(job.target.id) or _ABSENT for job in following}
        # One that was remembered as absent may have come to be elsewhere: it names its streams only now.
        unknown = {job.target.id: job.target for job in following if states[job.target.id].version == 0}
        if unknown:
            wanted = [Wanted(i, 0, target.aggregate.snapshot_version) for i, target in unknown.items()]
            loaded = await transaction.load([], [], wanted)
            for stream_id, target in unknown.items():
                found = states[stream_id] = fold(target, None, loaded)
                if found.version > 0:
                    memory.put(stream_id, found)
        for job in following:
            job.foresee(states[job.target.id].state)
        if len(batch) > 1 and sum(job.lock_count() for job in batch) > MAX_LOCKS:
            raise TooManyLocks


def _wanted(batch: Sequence[Job], memory: StateMemory) -> tuple[dict[str, Versioned], list[Wanted]]:
    known: dict[str, Versioned] = {}
    wanted: dict[str, Wanted] = {}
    for job in batch:
        for stream in job.streams():
            if stream.id in wanted:
                continue
            remembered = memory.get(stream.id)
            if remembered is not None:
                known[stream.id] = remembered
            version = remembered.version if remembered else 0
            wanted[stream.id] = Wanted(stream.id, version, stream.aggregate.snapshot_version)
    return known, list(wanted.values())


def _tell(job: Job, answer: Answer) -> None:
    if isinstance(answer, Exception):
        job.fail(answer)
    elif isinstance(job, Execution) and isinstance(answer, Outcome):
        job.succeed(answer)
    elif isinstance(job, Acceptance):
        job.succeed()


def _fail(batch: Iterable[Job], error: Exception) -> None:
    for job in batch:
        job.fail(error)
