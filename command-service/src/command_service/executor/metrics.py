"""What operators see of the executor."""

from typing import Final

from prometheus_client import Counter, Histogram

BATCH_COMMANDS: Final = Histogram(
    "stockroom_batch_commands", "Commands in one commit.", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256)
)
COMMIT_SECONDS: Final = Histogram(
    "stockroom_commit_seconds",
    "Time of one batch, from its first round trip to its commit.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
)
FAULTS: Final = Counter("stockroom_postgres_faults", "Batches that a fault of Postgres interrupted.")
