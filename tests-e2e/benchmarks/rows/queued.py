"""Queued commands from RabbitMQ to committed, beside taking the same messages and doing nothing."""

from typing import Any

from benchmarks.bench import Bench
from benchmarks.figures import Line, Result, figure, share_of
from benchmarks.shop import LEVEL_SECONDS, OurShop
from command_service.settings import CommandSettings
from contracts.topology import COMMANDS_IN, DEFAULT_PARTITIONS, CommandQueue, routing_key
from stockroom_local.waiting import wait_until

TITLE = "Queued commands"
LOOKS_SECONDS = 1.0
"""The rate comes from the receipts; looking at them all takes time from what is measured."""

PREFETCH = CommandSettings.model_fields["worker_prefetch"].default

_ENDED = "SELECT count(*) FROM receipts WHERE status = 'succeeded'"
# All commands of a batch end at the same moment: the first batch's end is where the measurement begins.
_RATE = """
SELECT count(*) FILTER (WHERE completed_at > began) / extract(epoch FROM max(completed_at) - min(began))::float8
  FROM receipts, (SELECT min(completed_at) AS began FROM receipts) first
"""


def measure(bench: Bench) -> Result:
    count = bench.settings.commands
    sides = {
        "executor": lambda: executor(bench, count),
        "packed": lambda: packed(bench, count),
        "unpacked": lambda: unpacked(bench, count, "partition"),
        "unpacked, by way of `in`": lambda: unpacked(bench, count, "in"),
        "bare aio-pika": lambda: bare(bench, count),
    }
    seen = bench.rounds(sides)
    rates = {side: figure("/s", [one["rate"] for one in rounds]) for side, rounds in seen.items()}
    beside = "aio-pika, take and acknowledge"
    return Result(
        [
            Line(
                f"{count:,} queued commands, packed by our relay",
                rates["packed"],
                "the executor",
                rates["executor"],
                share_of(0.6),
            ),
            Line(
                "queued commands, one a message, by partition",
                rates["unpacked"],
                beside,
                rates["bare aio-pika"],
                share_of(0.8),
            ),
            Line(
                "queued commands, one a message, by way of `in`",
                rates["unpacked, by way of `in`"],
                beside,
                rates["bare aio-pika"],
                share_of(0.8),
            ),
        ],
        details=seen,
    )


def executor(bench: Bench, count: int) -> dict[str, Any]:
    with bench.shop() as shop:
        return shop.fill("mixed", count, ready=True)


def packed(bench: Bench, count: int) -> dict[str, Any]:
    """Accepted by the API and packed by our relay, while no worker runs."""
    with bench.shop() as shop:
        with shop.running(shop.system.api, shop.system.relay):
            bench.ours("accepting", {"url": shop.system.api.url, "count": count, "prefix": "packed"})
            until(shop, "SELECT NOT EXISTS (SELECT FROM outbox)")
        return worked_off(shop, count)


def unpacked(bench: Bench, count: int, by: str) -> dict[str, Any]:
    with bench.shop() as shop:
        publish(bench, shop, count, by)
        return worked_off(shop, count)


def publish(bench: Bench, shop: OurShop, count: int, by: str) -> None:
    with shop.running(shop.system.relay):
        pass  # it has declared the queues
    asked = {"url": shop.rabbitmq_url, "count": count, "partitions": DEFAULT_PARTITIONS, "by": by, "prefix": "one"}
    bench.ours("publishing", asked)


def worked_off(shop: OurShop, count: int) -> dict[str, Any]:
    """By a worker that is started now."""
    with shop.running(shop.system.worker):
        until(shop, f"SELECT ({_ENDED}) >= {count}")
    return {"count": count, "rate": shop.value(_RATE)}


def until(shop: OurShop, query: str) -> None:
    if not wait_until(lambda: bool(shop.value(query)), LEVEL_SECONDS, LOOKS_SECONDS):
        raise TimeoutError(query)


def bare(bench: Bench, count: int) -> dict[str, Any]:
    with bench.shop() as shop:
        publish(bench, shop, count, "partition")
        keys = [*map(routing_key, range(DEFAULT_PARTITIONS)), COMMANDS_IN]
        queues = [CommandQueue(key).name for key in keys]
        asked = {"url": shop.rabbitmq_url, "queues": queues, "count": count, "prefetch": PREFETCH}
        return bench.peer("bare_consumer", asked)
