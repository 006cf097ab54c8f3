"""What can be set about the query service, beside what all services share."""

from pydantic import Field

from chassis.settings import ServiceSettings


class QuerySettings(ServiceSettings):
    """Read from the environment: ``STOCKROOM_QUERY_PORT`` and so on."""

    query_port: int = Field(8081, ge=1, le=65535, description="Port of the query API.")
    currency: str = Field(
        "EUR", pattern="^[A-Z]{3}$", description="The shop's currency, until the read model has been told of it."
    )
    image_documents: int = Field(
        10_000, ge=0, description="Hot documents and pages that a process keeps in memory; 0: every read asks Redis."
    )
    image_bytes: int = Field(64 * 1024 * 1024, ge=0, description="Memory that they may take.")
