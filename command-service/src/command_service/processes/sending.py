"""Sends a process manager's commands, each under an id that is the same whenever it is sent again."""

import asyncio
from datetime import UTC, datetime

from sqlalchemy.exc import TimeoutError as PoolTimeout

from chassis.logging import get_logger
from command_service.decider import Command
from command_service.envelope import CommandEnvelope, ExecutionFailed, KeyReused, Outcome, Unavailable, fingerprint_of
from command_service.event_store.store import is_fault
from command_service.mediator import Mediator
from command_service.processes import metrics
from command_service.processes.known_events import EventNotInTheLog
from contracts.envelope import RecordedEvent

log = get_logger(__name__)


def passes(error: BaseException) -> bool:
    """Whether no event is to blame, and it is to be held until this is over.

    A server can't be reached, or the log is not the one that the event came from.
    """
    return isinstance(error, Unavailable | PoolTimeout | EventNotInTheLog) or is_fault(error)


class Sender:
    """The commands of one manager, through the mediator."""

    def __init__(self, manager: str, mediator: Mediator) -> None:
        self._manager = manager
        self._mediator = mediator

    async def send(self, command: Command, cause: RecordedEvent, place: str, *, at_cause: bool) -> None:
        """Sends what follows from the event `cause`; `place` tells apart what follows from the same event.

        With `at_cause` an event told afterwards has its consequences at its own time too, not now. A command that a
        rule of the shop refuses has come to its end like any other.

        Raises:
            ExecutionFailed: a fault of ours; sent again under the same id, it may work.
            Unavailable: Postgres can't be reached.
        """
        told = cause.metadata.effective_at if at_cause else None
        effective_at = datetime.fromisoformat(told) if told is not None else None
        envelope = CommandEnvelope(
            command=command,
            command_id=f"{self._manager}/{cause.id}/{place}",
            fingerprint=fingerprint_of(command, None, effective_at),
            correlation_id=cause.metadata.correlation_id,
            causation_id=cause.id,
            submitted_at=datetime.now(UTC),
            traceparent=cause.metadata.traceparent,
            effective_at=effective_at,
        )
        try:
            outcome = await self._once(envelope)
        except (ExecutionFailed, Unavailable) as error:
            kind = "failed" if isinstance(error, ExecutionFailed) else "unavailable"
            metrics.COMMANDS.labels(self._manager, kind).inc()
            raise
        metrics.COMMANDS.labels(self._manager, outcome.status).inc()
        if outcome.problem is not None:
            log.warning("process_command_rejected", **self._names(envelope), problem=outcome.problem["type"])

    async def _once(self, envelope: CommandEnvelope) -> Outcome:
        try:
            return await self._handed_over(envelope)
        except KeyReused:
            # Sent before with another content (a setting has changed since), or somebody else took the id. Sending
            # twice is harmless, not sending may not be: this id says the content too, so a repeat is the same again.
            log.warning("process_command_id_taken", **self._names(envelope))
        own = envelope._replace(command_id=f"{envelope.command_id}/{envelope.fingerprint.hex()}")
        try:
            return await self._handed_over(own)
        except KeyReused as error:
            raise ExecutionFailed("the command's id is taken") from error

    async def _handed_over(self, envelope: CommandEnvelope) -> Outcome:
        # A task of its own: what the mediator adds to the context of the logs ends with it.
        return await asyncio.create_task(self._mediator.send(envelope))

    def _names(self, envelope: CommandEnvelope) -> dict[str, str]:
        return {"manager": self._manager, "command": envelope.type, "sent_as": envelope.command_id}
