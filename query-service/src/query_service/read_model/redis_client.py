"""Redis as a reader sees it: redis-py, with its faults in our words. See decisions/0001-redis-py.md.

RedisFault
├── Unreachable         no connection, no answer in time, or Redis can't answer yet
└── Refused             Redis answered with an error
    └── UnknownScript   it has no script with this digest
"""

from collections.abc import Sequence
from typing import Any, Final

from redis.asyncio import BlockingConnectionPool
from redis.asyncio import Redis as Client
from redis.asyncio.connection import Connection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    ClusterDownError,
    ConnectionError,
    NoScriptError,
    RedisError,
    ResponseError,
    TryAgainError,
)

from chassis.logging import get_logger
from chassis.resets import resets_told

log = get_logger(__name__)

ANSWER_SECONDS: Final = 2.0
"""Seconds that Redis may take to connect, and to answer; and that a command waits for one of the connections."""

CONNECTIONS: Final = 8
"""So many round trips are under way at once."""


LOST: Final[Any] = (ConnectionError, ConnectionResetError)
"""What redis-py and `chassis.resets` say of a connection that was lost before the answer came."""


class RedisFault(Exception):
    """Redis did not answer what was asked."""


class Unreachable(RedisFault):
    """There is no connection, no answer in time, or Redis can't answer yet."""


class Refused(RedisFault):
    """Redis answered with an error: the command, or a credential, is wrong."""


class UnknownScript(Refused):
    """Redis has no script with this digest, or no longer."""


def connect(url: str, resent_after: Any = LOST) -> Client:
    """A client of the Redis at `url`, with redis-py's options in its query; it connects when it is first used.

    A command that a lost connection left without its answer is sent once more, so commands must be harmless to repeat.
    Who must know of every loss has nothing sent again: `resent_after` nothing, ``()``.
    What was not answered in time is not sent again: a Redis that is slow would only become slower.
    """
    options: dict[str, Any] = {
        "max_connections": CONNECTIONS,
        "timeout": ANSWER_SECONDS,
        "socket_timeout": ANSWER_SECONDS,
        "socket_connect_timeout": ANSWER_SECONDS,
        "retry": Retry(NoBackoff(), 1, supported_errors=resent_after),
        "protocol": 2,
        **parse_url(url),
        "decode_responses": False,
    }
    options["connection_class"] = resets_told(options.get("connection_class", Connection))
    return Client.from_pool(BlockingConnectionPool(**options))


def fault_of(error: RedisError | OSError) -> RedisFault:
    """What an error from redis-py means to a reader."""
    message = f"{type(error).__name__}: {error}"
    match error:
        case NoScriptError():
            return UnknownScript(message)
        case ClusterDownError() | TryAgainError():  # MASTERDOWN too; it fails over, and will be back by itself
            return Unreachable(message)
        case ResponseError() if str(error).startswith("BUSY "):  # with a script; redis-py has no type for it
            return Unreachable(message)
        case ResponseError() | AuthenticationError() | AuthorizationError():
            return Refused(message)
        case _:
            return Unreachable(message)


Reply = Any | RedisFault


class Redis:
    """Commands that only read, and their replies as bytes."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._reached = True

    async def call(self, *command: str | bytes | int) -> Any:
        """The reply to a command.

        Raises:
            RedisFault: there is none, within a few `ANSWER_SECONDS`.
        """
        try:
            reply = await self._client.execute_command(*command)  # type: ignore[no-untyped-call]
        except (RedisError, OSError) as error:
            raise self._told(error) from None
        self._answered()
        return reply

    async def together(self, commands: Sequence[Sequence[str | bytes | int]]) -> list[Reply]:
        """The replies to commands that share a round trip, each in its place; where there is none, the fault."""
        pipeline = self._client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        try:
            replies = await pipeline.execute(raise_on_error=False)
        except (RedisError, OSError) as error:
            return [self._told(error)] * len(commands)
        told = [self._told(reply) if isinstance(reply, RedisError) else reply for reply in replies]
        if not any(isinstance(reply, Unreachable) for reply in told):
            self._answered()
        return told

    def _answered(self) -> None:
        if not self._reached:
            self._reached = True
            log.warning("redis_reached")

    def _told(self, error: RedisError | OSError) -> RedisFault:
        fault = fault_of(error)
        self._tell(fault)
        return fault

    def _tell(self, fault: RedisFault) -> None:
        match fault:
            case UnknownScript():
                pass
            case Refused():
                log.error("redis_refused", reply=str(fault))
            case _ if self._reached:  # said once, not for every query that fails meanwhile
                self._reached = False
                log.warning("redis_unreachable", fault=str(fault))
