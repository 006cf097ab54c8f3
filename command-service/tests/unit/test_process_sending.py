"""A manager's commands carry the same id whenever they are sent again."""

from command_service.envelope import CommandEnvelope, ExecutionFailed, KeyReused, Outcome
from command_service.mediator import Mediator
from command_service.orders.domain.expire_order import ExpireOrder
from command_service.processes.sending import Sender
from contracts.envelope import Metadata, RecordedEvent

ID = "0190a5f0-7c3e-7b1a-9d2e-3f4a5b6c7d8e"
TOLD = "2010-12-01T08:26:00.000000Z"
PLACED = RecordedEvent(
    position=1,
    stream_id=f"order-{ID}",
    version=1,
    partition_key=ID,
    type="OrderPlaced",
    schema_version=1,
    data={},
    time=TOLD,
    recorded_at="2026-11-21T10:00:00.000000Z",
    metadata=Metadata("PlaceOrder", "i", "correlation", "a", traceparent="trace", effective_at=TOLD),
)


async def sent(*taken: str, at_cause: bool = True) -> CommandEnvelope:
    """The envelope that arrives where the ids `taken` stand for something else."""
    arrived: list[CommandEnvelope] = []

    async def execute(envelope: CommandEnvelope) -> Outcome:
        if envelope.command_id in taken:
            raise KeyReused
        arrived.append(envelope)
        return Outcome("succeeded")

    await Sender("payment-deadlines", Mediator([], execute)).send(
        ExpireOrder(order_id=ID), PLACED, "due", at_cause=at_cause
    )
    [envelope] = arrived
    return envelope


async def test_the_id_names_the_manager_and_the_event() -> None:
    envelope = await sent()
    assert envelope.command_id == f"payment-deadlines/order-{ID}@1/due"
    assert (envelope.causation_id, envelope.correlation_id, envelope.traceparent) == (PLACED.id, "correlation", "trace")


async def test_what_follows_from_the_past_is_dated_like_it_and_what_is_due_is_not() -> None:
    reaction, timer = await sent(), await sent(at_cause=False)
    assert reaction.effective_at is not None
    assert reaction.effective_at.isoformat() == "2010-12-01T08:26:00+00:00"
    assert timer.effective_at is None


async def test_an_id_that_somebody_else_took_does_not_keep_the_command_from_being_sent() -> None:
    usual = (await sent()).command_id
    instead = (await sent(usual)).command_id
    assert instead == (await sent(usual)).command_id != usual
    assert len(instead) <= 128
    try:
        await sent(usual, instead)
    except ExecutionFailed:
        return
    raise AssertionError("two taken ids are a failure")
