"""What operators see of queued commands."""

from typing import Final

from prometheus_client import Counter, Gauge

DELIVERED: Final = Counter("stockroom_commands_delivered", "Commands that came by the queue; repeats are counted too.")
PARTITIONED: Final = Counter("stockroom_commands_partitioned", "Commands passed on to the queue of their partition.")
FAILED: Final = Counter("stockroom_commands_failed", "Commands set aside because of a fault of ours.")
REFUSED: Final = Counter("stockroom_commands_refused", "Messages, or members of them, that are no commands.")
DEAD_LETTERED: Final = Counter("stockroom_commands_dead_lettered", "Commands kept in the dead-letter queue.")
CONSUMED: Final = Gauge("stockroom_worker_queues_consumed", "Command queues that this worker consumes.")
