"""PostgreSQL, RabbitMQ and Redis of our own, apart from any that run on this machine already."""

from stockroom_local.servers.postgres import Postgres
from stockroom_local.servers.rabbitmq import RabbitMQ
from stockroom_local.servers.redis import Redis
from stockroom_local.servers.trio import Trio

__all__ = ["Postgres", "RabbitMQ", "Redis", "Trio"]
