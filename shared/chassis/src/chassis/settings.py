"""Settings that all services share. Each is read from the environment, with the prefix ``STOCKROOM_``."""

import sys
from typing import TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict


class ServiceSettings(BaseSettings):
    """A service's own settings derive from this one. A value that does not fit stops the process and is named."""

    model_config = SettingsConfigDict(env_prefix="STOCKROOM_", env_ignore_empty=True, extra="ignore", frozen=True)

    postgres_url: str = Field("postgresql://stockroom@127.0.0.1:5432/stockroom", description="Event store and outbox.")
    rabbitmq_url: str = Field("amqp://guest:guest@127.0.0.1:5672/", description="Broker of events and commands.")
    redis_url: str = Field("redis://127.0.0.1:6379/0", description="Read model.")
    host: str = Field("127.0.0.1", description="Address that every process listens on.")
    drain_seconds: float = Field(
        0.0, ge=0, le=300, description="Seconds for which a process that was told to stop (SIGTERM) goes on, not ready."
    )
    log_level: str = Field("info", description="debug, info, warning or error.")
    cors_origins: str = Field("", description="Origins, separated by commas, whose pages may call the APIs; * for all.")

    @property
    def cors_origin_list(self) -> list[str]:
        return [origin.strip() for origin in self.cors_origins.split(",") if origin.strip()]


S = TypeVar("S", bound=ServiceSettings)


def load(settings: type[S]) -> S:
    """The settings of this process; ends it with exit code 2, naming each variable at fault, when they don't fit."""
    try:
        return settings()
    except ValidationError as error:
        for fault in error.errors(include_url=False, include_input=False):
            sys.stderr.write(f"STOCKROOM_{'_'.join(map(str, fault['loc'])).upper()}: {fault['msg']}\n")
        raise SystemExit(2) from None
