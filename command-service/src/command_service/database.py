"""Connections to Postgres, and the facts that a shop fixes at its first start."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import asyncpg
import orjson
from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from tenacity import AsyncRetrying, RetryError, retry_if_exception, stop_after_delay, wait_random_exponential

from chassis import problems
from chassis.persisting import persist
from chassis.problems import Problem
from command_service.envelope import RETRY_AFTER
from command_service.event_store.schema import shop
from command_service.event_store.store import is_fault
from command_service.migrations import REVISION
from command_service.settings import CommandSettings
from contracts.topology import DEFAULT_PARTITIONS

CONNECT_SECONDS: Final = 5
STATEMENT_SECONDS: Final = 30
START_SECONDS: Final = 30

T = TypeVar("T")


@contextmanager
def unavailable_when_down() -> Iterator[None]:
    """Turns a fault of Postgres, while reading, into the problem that says so (503)."""
    try:
        yield
    except Exception as error:
        # No connection of the pool came free: those who have them wait for Postgres.
        if not (is_fault(error) or isinstance(error, PoolTimeout)):
            raise
        raise Problem(
            problems.UNAVAILABLE, "The event store can't be reached.", headers=((b"retry-after", b"%d" % RETRY_AFTER),)
        ) from error


class ServerUnreachable(Exception):
    """A server did not answer when the process started."""


class NotMigrated(Exception):
    """The database is there; its schema is not, or is older than this code."""


class SettingRefused(Exception):
    """A setting contradicts what the shop was started with."""


@dataclass(frozen=True, slots=True)
class Shop:
    """What is fixed for the life of a shop."""

    partitions: int
    currency: str


def make_engine(
    settings: CommandSettings,
    server_settings: dict[str, str] | None = None,
    *,
    statement_seconds: float | None = STATEMENT_SECONDS,
    **pool: Any,
) -> AsyncEngine:
    """An engine whose connections give up on a silent server: 5 s to connect, 30 s a statement (None: never)."""

    async def connect() -> asyncpg.Connection:
        return await asyncpg.connect(
            settings.postgres_url,
            timeout=CONNECT_SECONDS,
            command_timeout=statement_seconds,
            server_settings={"application_name": "stockroom", **(server_settings or {})},
        )

    # The driver reads the URL, as it does for the relay: so every form of it means the same everywhere.
    return create_async_engine("postgresql+asyncpg://", async_creator=connect, json_deserializer=orjson.loads, **pool)


async def until_open(engine: AsyncEngine, settings: CommandSettings, tell: Callable[[str], None]) -> Shop:
    """The shop, at a process's start: Postgres and the schema are waited for, and `tell` hears of it.

    Raises:
        SettingRefused: as `open_shop` does.
    """

    def passes(error: BaseException) -> bool:
        tell("waiting for the schema" if isinstance(error, NotMigrated) else "waiting for Postgres")
        return isinstance(error, NotMigrated) or is_fault(error)

    return await persist(passes, lambda: open_shop(engine, settings))


async def until_reachable(work: Callable[[], Awaitable[T]]) -> T:
    """Does `work` for an operator, who does not want to wait for ever for Postgres to come up.

    Raises:
        ServerUnreachable: it did not within 30 seconds.
    """
    retrying = AsyncRetrying(
        stop=stop_after_delay(START_SECONDS),
        wait=wait_random_exponential(multiplier=0.2, max=2),
        retry=retry_if_exception(is_fault),
    )
    try:
        async for attempt in retrying:
            with attempt:
                return await work()
    except RetryError as error:
        raise ServerUnreachable(
            f"Postgres can't be reached ({error.last_attempt.exception()}). Check STOCKROOM_POSTGRES_URL."
        ) from None
    raise AssertionError("unreachable")


async def open_shop(engine: AsyncEngine, settings: CommandSettings) -> Shop:
    """The shop's fixed facts; at the first start they are taken from the settings and kept.

    Raises:
        SettingRefused: a setting is given and differs from what was kept.
        NotMigrated: the schema is not there, or older than this code.
    """
    await _check_revision(engine)
    wanted = {"partitions": settings.partitions, "currency": settings.currency}
    defaults = {"partitions": DEFAULT_PARTITIONS, "currency": "EUR"}
    rows = [{"name": name, "value": str(wanted[name] or defaults[name])} for name in wanted]
    async with engine.begin() as connection:
        await connection.execute(insert(shop).on_conflict_do_nothing(), rows)
        kept = {row.name: row.value for row in await connection.execute(select(shop.c.name, shop.c.value))}
    for name, value in wanted.items():
        if value is not None and str(value) != kept[name]:
            raise SettingRefused(
                f"STOCKROOM_{name.upper()} is {value}, but this shop was started with {kept[name]}. Leave the setting "
                f"out, or see the README on changing it."
            )
    return Shop(int(kept["partitions"]), kept["currency"])


async def _check_revision(engine: AsyncEngine) -> None:
    """A newer schema is welcome: a migration first expands what is there, so that older code goes on beside newer."""
    try:
        async with engine.connect() as connection:
            revision = (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar()
    except ProgrammingError as error:
        raise NotMigrated("The database lacks Stockroom's tables: run `command-service migrate` first.") from error
    if revision is None or revision < REVISION:
        raise NotMigrated(
            f"The database's schema is at revision {revision}, and this version needs {REVISION}: "
            "run this version's `command-service migrate` first."
        )
