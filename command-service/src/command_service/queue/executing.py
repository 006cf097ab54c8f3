"""Executing commands that came by the queue: each ends, in its receipt or among the dead letters."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Final, TypeGuard

import orjson
from aio_pika.abc import AbstractIncomingMessage
from aio_pika.exceptions import AMQPError, ChannelInvalidStateError, PublishError
from sqlalchemy.exc import SQLAlchemyError
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential

from chassis import problems
from chassis.body import invalid, parse_json
from chassis.logging import get_logger
from chassis.problems import Problem, problem_document
from command_service.envelope import CommandEnvelope, ExecutionFailed, KeyReused, Outcome, Unavailable
from command_service.event_store.store import is_fault
from command_service.mediator import Mediator
from command_service.queue import metrics
from command_service.queue.broker import Publisher
from command_service.queue.documents import MAX_COMMANDS, CommandReader, NotACommand, message_of
from command_service.queue.settling import Ended, Settling

log = get_logger(__name__)

ATTEMPTS: Final = 5
"""How often a command is tried that a fault of ours stops."""

LONGEST_PAUSE: Final = 2.0
"""Seconds, at most, between two attempts; also while a server is away, which is waited for without end."""


def passes(error: BaseException) -> bool:
    """Whether it is a server that is away, which no command is to blame for."""
    return isinstance(
        error, Unavailable | AMQPError | ChannelInvalidStateError | PublishError | OSError | SQLAlchemyError
    ) or is_fault(error)


async def persist(action: Callable[[], Awaitable[Any]]) -> None:
    """Does `action` until no server is away any more."""

    def tell(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        log.warning("commands_held", reason=type(error).__name__, attempt=state.attempt_number)

    retrying = AsyncRetrying(
        retry=retry_if_exception(passes),
        wait=wait_random_exponential(multiplier=0.1, max=LONGEST_PAUSE),
        before_sleep=tell,
    )

    async def attempt() -> None:
        await action()

    await retrying(attempt)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a broker message holds: commands, in their order, and what is none, with the reason."""

    commands: list[CommandEnvelope]
    refused: list[tuple[Any, NotACommand]]


def read(message: AbstractIncomingMessage, reader: CommandReader) -> Reading:
    """A message is one command or an array of them.

    A single one without an id has that of its message, which stays the same when it is delivered again. Libraries make
    such ids without anybody's knowing, so that nobody would look for an answer under them.
    """
    reading = Reading([], [])
    try:
        document = parse_json(message.body)
    except Problem as problem:
        reading.refused.append((None, NotACommand([{"pointer": "#", "detail": problem.detail or "Not JSON."}])))
        return reading
    members = document if isinstance(document, list) else [document]
    if not 1 <= len(members) <= MAX_COMMANDS:
        fault = {"pointer": "#", "detail": f"Expected 1 to {MAX_COMMANDS} commands."}
        reading.refused.append((None, NotACommand([fault])))
        return reading
    fallback = message.message_id if not isinstance(document, list) else None
    now = datetime.now(UTC)
    for member in members:
        try:
            reading.commands.append(reader.read_message(member, fallback, now))
        except NotACommand as refusal:
            reading.refused.append((member, refusal))
    return reading


class Execution:
    """Ends commands. Every method returns when what it ended is safe; whatever a server that is away delays, waits."""

    def __init__(self, mediator: Mediator, settling: Settling, publisher: Publisher) -> None:
        self._mediator = mediator
        self._settling = settling
        self._publisher = publisher

    async def execute(self, commands: Sequence[CommandEnvelope]) -> None:
        """Executes commands in their order. What a fault of ours stops is tried again, and then set aside as failed."""
        waiting = list(commands)
        retrying = AsyncRetrying(
            retry=retry_if_exception(lambda error: isinstance(error, Unavailable)),
            wait=wait_random_exponential(multiplier=0.1, max=LONGEST_PAUSE),
        )
        async for attempt in retrying:
            with attempt:
                # All that wait are refused together when Postgres can't be reached: none overtakes another.
                waiting = await self._once(waiting)
                if waiting:
                    raise Unavailable("Postgres can't be reached")

    async def _once(self, commands: Sequence[CommandEnvelope]) -> list[CommandEnvelope]:
        """Sends all at once, in order; returns those that were refused because Postgres can't be reached."""
        answers = await asyncio.gather(*map(self._mediator.send, commands), return_exceptions=True)
        refused = []
        for envelope, answer in zip(commands, answers, strict=True):
            if isinstance(answer, Outcome):
                continue
            if isinstance(answer, Unavailable):
                refused.append(envelope)
            elif isinstance(answer, KeyReused):
                await self._bury(message_of(envelope), "The id came before with another content.")
            elif isinstance(answer, ExecutionFailed):
                await self._try_again(envelope)
            else:
                raise answer
        return refused

    async def _try_again(self, envelope: CommandEnvelope) -> None:
        retrying = AsyncRetrying(
            retry=retry_if_exception(lambda error: isinstance(error, ExecutionFailed)),
            stop=stop_after_attempt(ATTEMPTS - 1),
            wait=wait_random_exponential(multiplier=0.1, max=LONGEST_PAUSE),
            reraise=True,
        )

        async def attempt() -> None:
            await persist(lambda: self._mediator.send(envelope))

        try:
            await retrying(attempt)
        except ExecutionFailed:
            await self._set_aside(envelope)
        except KeyReused:
            await self._bury(message_of(envelope), "The id came before with another content.")

    async def _set_aside(self, envelope: CommandEnvelope) -> None:
        detail = f"The fault is ours; it was logged. It was tried {ATTEMPTS} times, and is kept to be redriven."
        outcome = Outcome("failed", problem=problem_document(problems.INTERNAL, detail, {}))
        ended = Ended(
            envelope.command_id,
            envelope.fingerprint,
            envelope.type,
            envelope.submitted_at,
            outcome,
            orjson.dumps(message_of(envelope)).decode(),
        )
        log.error("command_set_aside", command=envelope.type, command_id=envelope.command_id)
        metrics.FAILED.inc()
        if not await self._end(ended):
            await self._bury(message_of(envelope), "The id came before with another content.")

    async def refuse(self, document: Any, refusal: NotACommand, body: bytes) -> None:
        """Ends what is no command: in its receipt where it has an id, else among the dead letters, with the reason."""
        metrics.REFUSED.inc()
        command_id = document.get("id") if isinstance(document, dict) else None
        problem = invalid(refusal.faults)
        if _is_id(command_id):
            outcome = Outcome("rejected", problem=problem_document(problem.kind, problem.detail, problem.members))
            ended = Ended(
                command_id,
                blake2b(written(document), digest_size=16).digest(),
                _type_of(document),
                datetime.now(UTC),
                outcome,
                refused=document,
            )
            if await self._end(ended):
                return
        await self._bury(body, problem.detail or "It is no command.")

    async def _end(self, command: Ended) -> bool:
        kept: list[bool] = []

        async def end() -> None:
            kept.append(await self._settling.end(command))

        await persist(end)
        return kept[-1]

    async def _bury(self, content: Any, reason: str) -> None:
        body = content if isinstance(content, bytes) else orjson.dumps(content)
        log.error("command_dead_lettered", reason=reason)
        metrics.DEAD_LETTERED.inc()
        await persist(lambda: self._publisher.dead_letter(body, reason))


def written(document: Any) -> bytes:
    """A document that came as JSON, as JSON again: the same bytes for the same content. Fractions become text.

    Not by orjson: it refuses integers of more than 64 bits, and what a stranger sends must not stop a worker.
    """
    return json.dumps(document, default=str, sort_keys=True).encode()


def _type_of(document: dict[str, Any]) -> str:
    """What the document says of its type, if that can be kept: Postgres takes no NUL."""
    said = document.get("type")
    return said[:100] if isinstance(said, str) and said.isprintable() else ""


def _is_id(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and 1 <= len(value) <= 128 and all("!" <= c <= "~" for c in value)
