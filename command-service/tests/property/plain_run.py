"""Holds what stands in Postgres to the plain shop, and to what the senders of commands were told."""

from collections.abc import Mapping, Sequence

import asyncpg

from command_service.envelope import Outcome
from contracts.envelope import RecordedEvent

from .observed import said_by_plain, said_by_states
from .plain_shop import PlainShop
from .plain_things import Data
from .write_side import TODAY, replay


def is_a_run_of_the_plain_shop(
    log: Sequence[RecordedEvent], sent: Mapping[str, Data], outcomes: Mapping[str, Outcome]
) -> None:
    """The plain shop, given the log's commands one by one, lets each of them in, and comes to the same shop."""
    plain = PlainShop("EUR", TODAY.isoformat())
    for command_id in dict.fromkeys(event.metadata.command_id for event in log):
        answer = plain.send(sent[command_id])
        assert (answer.problem, answer.version) == (None, outcomes[command_id].version)
    states = replay(log)
    assert said_by_states(states, log) == said_by_plain(plain)
    assert {stream_id: one.version for stream_id, one in states.items()} == plain.versions


async def receipts_say_what_happened(
    sql: asyncpg.Connection, log: Sequence[RecordedEvent], outcomes: Mapping[str, Outcome]
) -> None:
    rows = await sql.fetch("SELECT command_id, status, outcome FROM receipts WHERE command_id = ANY($1)", [*outcomes])
    assert {row["command_id"]: Outcome.from_json(row["outcome"]) for row in rows} == outcomes
    assert all(row["status"] == outcomes[row["command_id"]].status for row in rows)
    assert all(outcomes[event.metadata.command_id].status == "succeeded" for event in log)
