"""What operators see of the outbox and the relay."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

PUBLISHED: Final = Counter("stockroom_events_published", "Events that the broker confirmed.")
REFUSED: Final = Counter("stockroom_publish_refused", "Messages nacked, returned or without a confirm in time.")
MESSAGE_EVENTS: Final = Histogram(
    "stockroom_message_events", "Events in one broker message.", buckets=(1, 2, 5, 10, 25, 50, 100)
)
PARTITIONS: Final = Gauge("stockroom_relay_partitions", "Partitions that this relay holds.")
DEPTH: Final = Gauge("stockroom_outbox_depth", "Events in the outbox.")
OLDEST_SECONDS: Final = Gauge("stockroom_outbox_oldest_seconds", "Age of the oldest event in the outbox; 0 when empty.")
