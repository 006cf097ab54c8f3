"""The connection to Redis: as the URL says, made anew when it was lost, honest about what went wrong."""

import asyncio
import shutil
import subprocess
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import redis.exceptions as redis_errors

from query_service.read_model import redis_client
from query_service.read_model.redis_client import (
    CONNECTIONS,
    Redis,
    Refused,
    UnknownScript,
    Unreachable,
    connect,
)


@asynccontextmanager
async def reaching(url):
    client = connect(url)
    try:
        yield Redis(client)
    finally:
        await client.aclose()


async def test_more_calls_than_connections_all_get_their_own_reply(redis_url, shop):
    async with reaching(redis_url) as redis:
        replies = await asyncio.gather(*(redis.call("ECHO", f"{n}" * 1000) for n in range(500)))
        assert replies == [(f"{n}" * 1000).encode() for n in range(500)]
        assert len(shop.redis.client_list(_type="normal")) <= CONNECTIONS + 1


async def test_one_who_stops_waiting_does_not_shift_the_others(redis_url):
    async with reaching(f"{redis_url}?max_connections=1") as redis:
        calls = [asyncio.ensure_future(redis.call("ECHO", str(n))) for n in range(3)]
        await asyncio.sleep(0)
        calls[0].cancel()
        assert [await calls[1], await calls[2]] == [b"1", b"2"]


async def test_a_connection_that_was_cut_is_made_anew(redis_url, shop):
    async with reaching(redis_url) as redis:
        first = await redis.call("CLIENT", "ID")
        shop.redis.client_kill_filter(_id=first)
        assert await redis.call("CLIENT", "ID") != first


async def test_a_command_whose_connection_is_cut_under_way_is_sent_once_more(redis_url, shop):
    async with reaching(redis_url) as redis:
        asked = asyncio.create_task(redis.call("BLPOP", "list", 0))
        for _ in range(2):
            await blocked(shop)
            shop.redis.client_kill_filter(_type="normal", skipme=True)
        with pytest.raises(Unreachable):
            await asked
        asked = asyncio.create_task(redis.call("BLPOP", "list", 0))
        await blocked(shop)
        shop.redis.client_kill_filter(_type="normal", skipme=True)
        await blocked(shop)
        shop.redis.rpush("list", "element")
        assert list(await asked) == [b"list", b"element"]


async def blocked(shop):
    """Returns when a client of Redis waits in a blocking command; pytest's timeout is the deadline."""
    while shop.redis.info("clients")["blocked_clients"] != 1:  # noqa: ASYNC110 nothing announces it
        await asyncio.sleep(0.002)


async def test_what_is_not_answered_in_time_is_given_up_and_not_sent_again(redis_url, shop):
    shop.redis.config_resetstat()
    async with reaching(f"{redis_url}?socket_timeout=0.1") as redis:
        with pytest.raises(Unreachable, match="Timeout"):
            await redis.call("BLPOP", "list", 0)
        assert shop.redis.info("commandstats")["cmdstat_blpop"]["calls"] == 1
        assert await redis.call("ECHO", "here") == b"here"


async def test_credentials_and_database_of_the_url_are_used(own_redis, shop_over):
    """And the account needs no rights beyond its reads."""
    admin = shop_over(own_redis.url).redis
    admin.execute_command("ACL", "SETUSER", "reader", "on", ">s@cret", "~*", "+select", "+client|info")
    admin.config_set("requirepass", "other")
    for credentials in ("reader:s%40cret@", ":other@"):
        async with reaching(f"redis://{credentials}127.0.0.1:{own_redis.port}/3") as redis:
            assert b"db=3" in await redis.call("CLIENT", "INFO")
    for credentials in ("", ":wrong@", "reader@", "nobody:other@"):
        async with reaching(f"redis://{credentials}127.0.0.1:{own_redis.port}/3") as redis:
            with pytest.raises(Refused, match="Authentication"):
                await redis.call("CLIENT", "INFO")


async def test_no_server_is_said_and_not_waited_for():
    async with reaching("redis://127.0.0.1:1/0") as redis:
        with pytest.raises(Unreachable):
            await redis.call("PING")


async def test_errors_of_redis_are_told_apart(redis_url):
    async with reaching(redis_url) as redis:
        with pytest.raises(Refused, match="unknown command"):
            await redis.call("NONSENSE")
        with pytest.raises(UnknownScript):
            await redis.call("EVALSHA_RO", "0" * 40, 0)
        assert await redis.call("ECHO", "still here") == b"still here"


async def test_that_redis_cannot_answer_yet_is_said_once(redis_url, monkeypatch):
    """Whether one is asked alone or several together."""
    said = []
    monkeypatch.setattr(redis_client, "log", SimpleNamespace(warning=lambda event, **_: said.append(event)))
    async with reaching(redis_url) as redis:
        busy = [("EVAL", "return redis.error_reply('BUSY with a script')", 0)]
        for _ in range(3):
            assert all(isinstance(reply, Unreachable) for reply in await redis.together(busy * 3))
        assert said == ["redis_unreachable"]
        assert await redis.together([("ECHO", "1"), ("ECHO", "2")]) == [b"1", b"2"]
        assert said == ["redis_unreachable", "redis_reached"]


async def test_a_redis_that_is_busy_or_fails_over_is_unreachable(own_redis, shop_over):
    admin, busy = shop_over(own_redis.url).redis, shop_over(own_redis.url).redis
    async with reaching(own_redis.url) as redis:
        admin.config_set("busy-reply-threshold", 1)
        script = asyncio.create_task(asyncio.to_thread(busy.eval, "while true do end", 0))
        with pytest.raises(Unreachable, match="BUSY"):
            while True:  # until the script runs
                await redis.call("GET", "key")
        admin.script_kill()
        with pytest.raises(redis_errors.ResponseError):
            await script
        admin.config_set("replica-serve-stale-data", "no")
        admin.replicaof("127.0.0.1", 1)
        with pytest.raises(Unreachable, match="MasterDown"):
            await redis.call("GET", "key")
        admin.replicaof("NO", "ONE")
        assert await redis.call("GET", "key") is None


@pytest.fixture
def certificate(tmp_path):
    """The path of a certificate that signs itself, with its key in the same file, for whoever may read it."""
    if (openssl := shutil.which("openssl")) is None:
        pytest.skip("openssl is needed to make a certificate")
    with tempfile.TemporaryDirectory(prefix="stockroom-test-") as folder:
        path = Path(folder, "certificate.pem")
        options = "-x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=redis -addext subjectAltName=IP:127.0.0.1"
        command = [openssl, "req", *options.split(), "-keyout", path, "-out", path]
        subprocess.run(command, check=True, capture_output=True)
        path.parent.chmod(0o755)
        path.chmod(0o644)
        yield path


async def test_certificates_of_the_url_are_used(own_redis, shop_over, unused_tcp_port, certificate):
    settings = {f"tls-{name}": str(certificate) for name in ("cert-file", "key-file", "ca-cert-file")}
    try:
        flat = [word for entry in {**settings, "tls-port": unused_tcp_port}.items() for word in entry]
        shop_over(own_redis.url).redis.config_set(*flat)
    except redis_errors.ResponseError as error:
        pytest.skip(f"this Redis does no TLS: {error}")
    url = f"rediss://127.0.0.1:{unused_tcp_port}/0"
    ours, theirs = f"ssl_certfile={certificate}", f"ssl_ca_certs={certificate}"
    async with reaching(f"{url}?{ours}&{theirs}") as redis:
        assert await redis.call("ECHO", "here") == b"here"
    for lacking in (f"{url}?{ours}", f"{url}?{theirs}"):
        async with reaching(lacking) as redis:
            with pytest.raises(Unreachable):
                await redis.call("PING")
