"""Settings of the command service."""

from pydantic import Field

from chassis.settings import ServiceSettings
from contracts.topology import MAX_PARTITIONS


class CommandSettings(ServiceSettings):
    """All are read from the environment with the prefix ``STOCKROOM_``."""

    command_port: int = Field(8080, ge=1, le=65535, description="Port of the command API.")
    relay_port: int = Field(8083, ge=1, le=65535, description="Port of the relay's health and metrics.")
    worker_port: int = Field(8084, ge=1, le=65535, description="Port of the worker's health and metrics.")
    processes_port: int = Field(8085, ge=1, le=65535, description="Port of the process managers' health and metrics.")
    worker_prefetch: int = Field(
        100, ge=1, le=10_000, description="Messages of a command queue that a worker may have in hand."
    )
    partitions: int | None = Field(
        None, ge=1, le=MAX_PARTITIONS, description="Partitions of the event stream; fixed at the first start (8)."
    )
    currency: str | None = Field(
        None, pattern="^[A-Z]{3}$", description="The shop's one currency (ISO 4217); fixed at the first start (EUR)."
    )
    receipt_days: int = Field(30, ge=1, description="Days for which a command's outcome is remembered under its id.")
    state_memory: int = Field(20_000, ge=0, description="Streams whose state each committing connection remembers.")
    fault_retry_seconds: float = Field(
        5.0, gt=0, description="Seconds for which a command is retried while Postgres can't be reached."
    )
    payment_deadline: int = Field(
        900, ge=1, le=31_536_000, description="Seconds within which an order must be paid, or it expires."
    )
    low_stock: int = Field(5, ge=0, description="So many available pieces are low stock; 0: only no stock is told.")
