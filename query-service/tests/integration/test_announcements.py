"""The subscription: it is noticed when Redis hangs or has gone, and who waits then looks again."""

import asyncio
import os
import signal
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from query_service.read_model import announcements
from query_service.read_model.announcements import Announcements
from query_service.read_model.image import Image
from query_service.read_model.redis_client import connect


@asynccontextmanager
async def hearing(url):
    client = connect(url, resent_after=())
    subscription = Announcements(client, Image(0, 0))
    running = asyncio.create_task(subscription.run())
    try:
        yield subscription
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await client.aclose()


def soon():
    return asyncio.get_running_loop().time() + 30


@pytest.mark.parametrize("protocol", [2, 3])
async def test_only_those_are_woken_whose_partition_was_announced(redis_url, shop, protocol):
    product_id = "00000000-0000-4000-8000-000000000000"
    async with hearing(f"{redis_url}?protocol={protocol}") as subscription:
        with subscription.listen(range(8)) as every, subscription.listen({99}) as other:
            assert await every.heard(soon())
            every.forget()
            other.forget()
            shop.announce(product_id)
            assert await every.heard(soon())
            assert not await other.heard(0)


async def test_who_waits_looks_again_after_redis_has_hung(own_redis, shop_over, monkeypatch):
    monkeypatch.setattr(announcements, "_HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr(announcements, "ANSWER_SECONDS", 0.05)
    pid = int(shop_over(own_redis.url).redis.info("server")["process_id"])
    async with hearing(f"{own_redis.url}?socket_timeout=0.1") as subscription:
        with subscription.listen({1}) as listener, capture_logs() as logs:
            assert await listener.heard(soon())
            os.kill(pid, signal.SIGSTOP)
            try:
                while not any(entry["event"] == "announcements_not_heard" for entry in logs):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                listener.forget()
            finally:
                os.kill(pid, signal.SIGCONT)
            assert await listener.heard(soon())


async def test_a_subscription_that_is_refused_is_tried_again(own_redis, shop_over):
    admin = shop_over(own_redis.url).redis
    admin.execute_command("ACL", "SETUSER", "reader", "on", ">secret", "&*", "+ping")
    async with hearing(own_redis.url.replace("//", "//reader:secret@")) as subscription:
        with subscription.listen({1}) as listener:
            while admin.acl_log(count=1) == []:  # noqa: ASYNC110 nothing announces it
                await asyncio.sleep(0.002)
            assert not await listener.heard(0)
            admin.execute_command("ACL", "SETUSER", "reader", "+psubscribe")
            assert await listener.heard(soon())
