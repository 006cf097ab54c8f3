"""The projector's settings, from the environment (``STOCKROOM_…``)."""

from pydantic import Field

from chassis.settings import ServiceSettings


class ProjectorSettings(ServiceSettings):
    projector_port: int = Field(8082, ge=0, le=65535, description="Port of the projector's health and metrics.")
    command_url: str = Field("http://127.0.0.1:8080", description="Where the command service's feed is read.")
    walk_interval: float = Field(2.0, gt=0, description="Seconds between two comparisons with the log.")
    batch_events: int = Field(
        1000,
        ge=1,
        le=10_000,
        description="Events of a partition that are applied together; a rebuild writes 250 of them at once.",
    )
    prefetch_messages: int = Field(20, ge=1, le=1000, description="Messages of a partition that may be in hand.")
