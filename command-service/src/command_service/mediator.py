"""The only door to the write model, for every way by which a command can come.

A command passes through the behaviours, in the order of the list that `bootstrap` gives, and ends at the executor.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from typing import Final

from prometheus_client import Counter, Histogram

from chassis.logging import bind, get_logger
from command_service.envelope import CommandEnvelope, ExecutionFailed, KeyReused, Outcome, Unavailable

log = get_logger(__name__)

Next = Callable[[CommandEnvelope], Awaitable[Outcome]]
Behaviour = Callable[[CommandEnvelope, Next], Awaitable[Outcome]]

COMMANDS: Final = Counter("stockroom_commands", "Commands by type and outcome.", ["type", "outcome"])
COMMAND_SECONDS: Final = Histogram(
    "stockroom_command_seconds",
    "Time from a command's arrival at the mediator to its outcome.",
    ["type"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
)


class Mediator:
    """Sends commands through its behaviours to the executor."""

    def __init__(self, behaviours: Sequence[Behaviour], execute: Next) -> None:
        self._send = execute
        for behaviour in reversed(behaviours):
            self._send = _wrap(behaviour, self._send)

    async def send(self, envelope: CommandEnvelope) -> Outcome:
        """The command's outcome, once it is committed. Raises what `Executor.execute` raises."""
        return await self._send(envelope)


def _wrap(behaviour: Behaviour, following: Next) -> Next:
    async def send(envelope: CommandEnvelope) -> Outcome:
        return await behaviour(envelope, following)

    return send


async def tracing(envelope: CommandEnvelope, following: Next) -> Outcome:
    """Everything logged on the way carries the command's id and its trace."""
    bind("command_id", envelope.command_id)
    bind("traceparent", envelope.traceparent)
    return await following(envelope)


@cache
def _counted(command: str, outcome: str) -> Counter:
    return COMMANDS.labels(command, outcome)


@cache
def _timed(command: str) -> Histogram:
    return COMMAND_SECONDS.labels(command)


async def measuring(envelope: CommandEnvelope, following: Next) -> Outcome:
    """Counts commands by type and outcome, and how long they take."""
    started = time.perf_counter()
    outcome = "failed"
    try:
        answer = await following(envelope)
        outcome = answer.status
        return answer
    except KeyReused:
        outcome = "key-reused"
        raise
    except Unavailable:
        outcome = "unavailable"
        raise
    finally:
        _counted(envelope.type, outcome).inc()
        _timed(envelope.type).observe(time.perf_counter() - started)


async def logging(envelope: CommandEnvelope, following: Next) -> Outcome:
    """Logs what was rejected and what failed, by names and ids; at debug level, everything."""
    try:
        answer = await following(envelope)
    except (ExecutionFailed, Unavailable) as error:
        log.error(
            "command_failed",
            command=envelope.type,
            command_id=envelope.command_id,
            correlation_id=envelope.correlation_id,
            error=type(error).__name__,
        )
        raise
    if answer.problem is not None:
        log.debug(
            "command_rejected", command=envelope.type, command_id=envelope.command_id, problem=answer.problem["type"]
        )
    else:
        log.debug("command_succeeded", command=envelope.type, command_id=envelope.command_id, version=answer.version)
    return answer
