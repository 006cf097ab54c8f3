"""What operators see of the outbox and the relay."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

PUBLISHED: Final = Counter("stockroom_events_published", "Events and commands that the broker confirmed.")
REFUSED: Final = Counter("stockroom_publish_refused", "Messages nacked, returned or without a confirm in time.")
MESSAGE_EVENTS: Final = Histogram(
    "stockroom_message_events", "Events or commands in one broker message.", buckets=(1, 2, 5, 10, 25, 50, 100)
)
LANES: Final = Gauge("stockroom_relay_lanes", "Lanes of the outbox that this relay holds: two for each partition.")
DEPTH: Final = Gauge("stockroom_outbox_depth", "Events and commands in the outbox.")
OLDEST_SECONDS: Final = Gauge("stockroom_outbox_oldest_seconds", "Age of the oldest row in the outbox; 0 when empty.")
UNFINISHED: Final = Gauge(
    "stockroom_commands_unfinished",
    "Queued commands that have not ended well: accepted ones wait for a worker, failed ones for a redrive.",
    ["status"],
)
UNFINISHED_SECONDS: Final = Gauge(
    "stockroom_commands_unfinished_seconds",
    "Age of the oldest queued command that has not ended well; 0 when there is none.",
    ["status"],
)
