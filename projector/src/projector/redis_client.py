"""The connection to Redis, and what counts as "Redis can't be reached".

Commands are packed by hiredis: a script call has thousands of arguments, and packing them in Python took longer than
all else. See decisions/0003-hiredis-packs-commands.md.
"""

from typing import Any, Final

import hiredis
from redis.asyncio import BlockingConnectionPool, Connection, Redis, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.connection import parse_url
from redis.exceptions import NoPermissionError, RedisError, ResponseError

from chassis.logging import get_logger
from chassis.resets import resets_told

log = get_logger(__name__)

UNREACHABLE: Final = (RedisError, OSError)
"""Everything that Redis may answer with or not answer at all (loading, read-only, out of memory, gone): it is never the
fault of an event, and passes."""

CONNECTIONS: Final = 32
ANSWER_SECONDS: Final = 10.0
CONNECT_SECONDS: Final = 3.0


class UnsafeRedis(Exception):
    """This Redis may drop keys by itself; a read model can't be kept in it."""


class _Packed:
    def pack_command(self, *args: Any) -> list[bytes]:
        # Names of two words ("CONFIG GET") are two arguments to the server.
        return [hiredis.pack_command((*str(args[0]).split(), *args[1:]))]


class _Connection(_Packed, Connection):
    pass


class _SSLConnection(_Packed, SSLConnection):
    pass


class _UnixConnection(_Packed, UnixDomainSocketConnection):
    pass


def connect(url: str) -> Redis:
    """A client of the Redis at `url`; connects when it is first used, and again whenever it must."""
    options: dict[str, Any] = dict(parse_url(url))
    plain = options.pop("connection_class", Connection)
    packed = {SSLConnection: _SSLConnection, UnixDomainSocketConnection: _UnixConnection}.get(plain, _Connection)
    pool = BlockingConnectionPool(
        max_connections=CONNECTIONS,
        connection_class=resets_told(packed),
        **{
            "socket_timeout": ANSWER_SECONDS,
            "socket_connect_timeout": CONNECT_SECONDS,
            "client_name": "stockroom-projector",
            **options,
            "decode_responses": False,
        },
    )
    return Redis.from_pool(pool)


async def refuse_eviction(redis: Redis) -> None:
    """Checks that this Redis keeps what it is given.

    Raises:
        UnsafeRedis: its `maxmemory-policy` is another than `noeviction`.
        redis.exceptions.RedisError, OSError: it can't be reached.
    """
    try:
        answer = await redis.config_get("maxmemory-policy")
    except (NoPermissionError, ResponseError) as error:
        if type(error) not in (NoPermissionError, ResponseError):
            raise
        log.warning("maxmemory_policy_unknown", reason=str(error))
        return
    settings = {_text(name): _text(value) for name, value in answer.items()}
    policy = settings.get("maxmemory-policy", "noeviction")
    if policy != "noeviction":
        raise UnsafeRedis(
            f"Redis has maxmemory-policy {policy!r} and would drop parts of the read model when memory runs out. "
            "Set it to 'noeviction'."
        )


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
