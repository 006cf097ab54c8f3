"""Runs one of our processes and kills it, with SIGKILL, at one instruction: ``killed_at.py POINT``."""

import os
import signal
import sys
from typing import Any


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def relay_after_publish() -> None:
    from command_service.cli import app
    from command_service.outbox.relay import RelaySession

    async def delete(_session: Any, confirmed: list[tuple[int, int]]) -> None:
        if confirmed:
            die()

    RelaySession._delete = delete  # type: ignore[method-assign]
    app(["relay"])


def api_after_commit() -> None:
    from command_service.cli import app
    from command_service.event_store.store import BatchTransaction

    commit = BatchTransaction.commit

    async def commit_and_die(transaction: BatchTransaction) -> None:
        await commit(transaction)
        die()

    BatchTransaction.commit = commit_and_die  # type: ignore[method-assign]
    app(["api"])


def projector_after_apply() -> None:
    import aiormq

    from projector.cli import app

    async def ack(_channel: Any, *_arguments: Any, **_options: Any) -> None:
        die()

    aiormq.Channel.basic_ack = ack  # type: ignore[method-assign]
    app([])


def worker_before_ack() -> None:
    from command_service.cli import app
    from command_service.queue.worker import CommandPartition

    finish = CommandPartition._finish

    async def finish_and_die(partition: CommandPartition, commands: Any) -> None:
        await finish(partition, commands)
        if commands:
            die()

    CommandPartition._finish = finish_and_die  # type: ignore[method-assign]
    app(["worker"])


def processes_before_timer_is_cleared() -> None:
    from command_service.cli import app
    from command_service.processes.rows import Rows

    async def clear(_rows: Any, _stream_id: str, _version: int) -> None:
        die()

    Rows.clear_timer = clear  # type: ignore[method-assign]
    app(["processes"])


POINTS = {
    "worker-before-ack": worker_before_ack,
    "processes-before-timer-is-cleared": processes_before_timer_is_cleared,
    "relay-after-publish": relay_after_publish,
    "api-after-commit": api_after_commit,
    "projector-after-apply": projector_after_apply,
}

POINTS[sys.argv[1]]()
