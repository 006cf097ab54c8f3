"""Group commit: commands that arrive while a batch is being committed form the next one.

There is no timer. A lone command is committed at once; under load a commit, which costs about the same for one
command as for a hundred, is shared. Each batch costs four round trips: begin and lock, load, append, commit; one more,
ahead of them, where a command's target is not remembered that names what else it writes.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from tenacity import AsyncRetrying, RetryError, retry_if_exception_type, stop_after_delay, wait_random_exponential

from chassis.logging import get_logger
from command_service.decider import Command, Stream, UseCase
from command_service.envelope import CommandEnvelope, ExecutionFailed, Outcome, Unavailable
from command_service.event_store.locks import merge
from command_service.event_store.store import BatchTransaction, Wanted, is_fault
from command_service.executor import metrics
from command_service.executor.batch import Answer, BatchDecider, Decided
from command_service.executor.jobs import Acceptance, Accepted, Execution, Job
from command_service.executor.states import NotForeseen, StateMemory, Versioned, fold

log = get_logger(__name__)

MAX_BATCH: Final = 256
"""Commands in one transaction."""

MAX_LOCKS: Final = 1500
"""Advisory locks of one transaction: Postgres holds max_locks_per_transaction × max_connections of all processes."""

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
        self._engine = engine
        self._use_cases = use_cases
        self._partitions = partitions
        self._wake_relay = wake_relay
        self._wake_waiting = wake_waiting
        self._memory = StateMemory(memory)
        self._retry_seconds = retry_seconds
        self._waiting: deque[Job] = deque()
        self._arrived = asyncio.Event()
        self._connection: AsyncConnection | None = None

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

    async def run(self) -> None:
        """Commits batches until cancelled; then what still waits is refused."""
        try:
            while True:
                await self._arrived.wait()
                self._arrived.clear()
                while self._waiting:
                    await self._finish(self._next_batch())
        finally:
            for job in self._waiting:
                job.fail(Unavailable("shutting down"))
            await self._disconnect()

    def _next_batch(self) -> list[Job]:
        batch: list[Job] = []
        locks = 0
        while self._waiting and len(batch) < MAX_BATCH:
            locks += self._waiting[0].lock_count()
            if batch and locks > MAX_LOCKS:
                break
            batch.append(self._waiting.popleft())
        return batch

    async def _finish(self, batch: list[Job]) -> None:
        """Answers every job of the batch, whatever happens."""
        try:
            await self._commit_or_split(batch)
        except asyncio.CancelledError:
            _fail(batch, Unavailable("shutting down"))
            raise
        except Unavailable as error:
            # With all that wait: whoever sent several in order and sends them again must not have one overtaken.
            _fail([*batch, *self._waiting], error)
            self._waiting.clear()

    async def _commit_or_split(self, batch: list[Job]) -> None:
        """Commits the batch; an unexpected error splits it, until it concerns only the command that causes it."""
        try:
            decided = await self._with_retries(batch)
        except Fault as fault:
            raise Unavailable(str(fault)) from fault
        except TooManyLocks:
            await self._split(batch)
            return
        except Exception as error:
            log.exception("batch_failed", commands=len(batch))
            if len(batch) == 1:
                batch[0].fail(ExecutionFailed(str(error)))
            else:
                await self._split(batch)
            return
        for job, answer in decided.answers:
            _tell(job, answer)

    async def _split(self, batch: list[Job]) -> None:
        middle = len(batch) // 2
        await self._commit_or_split(batch[:middle])
        await self._commit_or_split(batch[middle:])

    async def _with_retries(self, batch: Sequence[Job]) -> Decided:
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
                    return await self._commit(batch)
        except RetryError as error:
            raise error.last_attempt.exception() or error from None
        raise AssertionError("unreachable")

    async def _commit(self, batch: Sequence[Job]) -> Decided:
        started = time.perf_counter()
        try:
            connection = await self._connect()
            decided = await self._transact(BatchTransaction(connection), batch)
        except TooManyLocks:
            raise
        except BaseException as error:
            await self._disconnect()
            if is_fault(error):
                metrics.FAULTS.inc()
                log.warning("postgres_fault", error=type(error).__name__, commands=len(batch))
                raise Fault(type(error).__name__) from error
            raise
        metrics.BATCH_COMMANDS.observe(len(batch))
        metrics.COMMIT_SECONDS.observe(time.perf_counter() - started)
        for stream_id, versioned in decided.states.items():
            self._memory.put(stream_id, versioned)
        if decided.changes.events or decided.changes.queued:
            self._wake_relay()
        if decided.changes.finished:
            self._wake_waiting()
        return decided

    async def _transact(self, transaction: BatchTransaction, batch: Sequence[Job]) -> Decided:
        for _ in range(MAX_FORESEEING):
            await self._foresee(transaction, batch)
            exclusive = [name for job in batch for name in job.exclusive_locks()]
            shared = [name for job in batch for name in job.shared_locks()]
            await transaction.begin(merge(exclusive, shared))
            known, wanted = self._wanted(batch)
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

    async def _foresee(self, transaction: BatchTransaction, batch: Sequence[Job]) -> None:
        """Without any lock, what the batch must know to know what it writes: the targets that name more streams.

        A target that is not there yet names nothing. If it comes to be in this very batch, whoever makes it writes
        those streams too; if elsewhere, deciding raises `NotForeseen`.
        """
        following = [job for job in batch if isinstance(job, Execution) and job.use_case.follows is not None]
        if not following:
            return
        states = {job.target.id: self._memory.get(job.target.id) or _ABSENT for job in following}
        # One that was remembered as absent may have come to be elsewhere: it names its streams only now.
        unknown = {job.target.id: job.target for job in following if states[job.target.id].version == 0}
        if unknown:
            wanted = [Wanted(i, 0, target.aggregate.snapshot_version) for i, target in unknown.items()]
            loaded = await transaction.load([], [], wanted)
            for stream_id, target in unknown.items():
                found = states[stream_id] = fold(target, None, loaded)
                if found.version > 0:
                    self._memory.put(stream_id, found)
        for job in following:
            job.foresee(states[job.target.id].state)
        if len(batch) > 1 and sum(job.lock_count() for job in batch) > MAX_LOCKS:
            raise TooManyLocks

    def _wanted(self, batch: Sequence[Job]) -> tuple[dict[str, Versioned], list[Wanted]]:
        known: dict[str, Versioned] = {}
        wanted: dict[str, Wanted] = {}
        for job in batch:
            for stream in job.streams():
                if stream.id in wanted:
                    continue
                remembered = self._memory.get(stream.id)
                if remembered is not None:
                    known[stream.id] = remembered
                version = remembered.version if remembered else 0
                wanted[stream.id] = Wanted(stream.id, version, stream.aggregate.snapshot_version)
        return known, list(wanted.values())

    async def _connect(self) -> asyncpg.Connection:
        if self._connection is None:
            try:
                self._connection = await self._engine.connect()
            except (asyncpg.PostgresError, SQLAlchemyError) as refusal:
                # Whatever the reason (no such role, a standby, maintenance): nothing was asked of it yet.
                raise ConnectionError(f"Postgres refuses connections: {refusal}") from refusal
        raw = await self._connection.get_raw_connection()
        driver: asyncpg.Connection = raw.driver_connection
        if driver.is_closed():
            raise ConnectionError("the connection was closed")
        return driver

    async def _disconnect(self) -> None:
        """Drops the connection, and with it the transaction, its locks, and all that is remembered of the log."""
        connection, self._connection = self._connection, None
        self._memory.clear()
        if connection is not None:
            try:
                await connection.invalidate()
            finally:
                await connection.close()


def _tell(job: Job, answer: Answer) -> None:
    if isinstance(answer, Exception):
        job.fail(answer)
    elif isinstance(job, Execution) and isinstance(answer, Outcome):
        job.succeed(answer)
    elif isinstance(job, Acceptance):
        job.succeed()


def _fail(batch: Sequence[Job], error: Exception) -> None:
    for job in batch:
        job.fail(error)
