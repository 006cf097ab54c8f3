"""What the projector talks to, in every process of it."""

from dataclasses import dataclass

import httpx
from redis.asyncio import Redis

from chassis.publisher import Publisher
from projector import feed as feeds
from projector import redis_client
from projector.discards import Discards
from projector.feed import Feed
from projector.settings import ProjectorSettings


@dataclass(frozen=True, slots=True)
class Connections:
    """Each is made when it is first used, and again whenever it must."""

    settings: ProjectorSettings
    redis: Redis
    http: httpx.AsyncClient
    feed: Feed
    discards: Discards
    publisher: Publisher

    async def close(self) -> None:
        await self.publisher.close()
        await self.redis.aclose()
        await self.http.aclose()


def connect(settings: ProjectorSettings) -> Connections:
    http = feeds.connect(settings.command_url)
    feed = Feed(http)
    publisher = Publisher(settings.rabbitmq_url, "stockroom-projector dead-letters")
    return Connections(settings, redis_client.connect(settings.redis_url), http, feed, Discards(feed), publisher)
