"""What operators see of the process managers."""

from typing import Final

from prometheus_client import Counter, Gauge

EVENTS: Final = Counter(
    "stockroom_process_events", "Events handled; those that came again are not counted.", ["manager"]
)
COMMANDS: Final = Counter(
    "stockroom_process_commands", "Commands sent, by outcome; repeats are counted too.", ["manager", "outcome"]
)
TIMERS_WAITING: Final = Gauge("stockroom_process_timers_waiting", "Timers that are set.", ["manager"])
TIMERS_FIRED: Final = Counter("stockroom_process_timers_fired", "Timers whose command was sent.", ["manager"])
TIMERS_FAILED: Final = Counter(
    "stockroom_process_timers_failed", "Tries to send a timer's command that failed for good.", ["manager"]
)
LAG_EVENTS: Final = Gauge(
    "stockroom_process_lag_events",
    "Positions of the log between what is settled and what the walk has found handled; 0 when nothing is missing.",
    ["manager"],
)
BEHIND_SECONDS: Final = Gauge(
    "stockroom_process_behind_seconds",
    "Seconds for which the walk has waited, at one place, for events that were not handled; 0 when none is missing.",
    ["manager"],
)
FOUND_MISSING: Final = Counter(
    "stockroom_process_streams_found_missing", "Streams whose lost events the walk brought from the log.", ["manager"]
)
GAPS: Final = Counter("stockroom_process_gaps", "Events that came before one of their stream was there.", ["manager"])
PARKED: Final = Gauge(
    "stockroom_process_parked_streams", "Streams with an event that can't be handled, tried again.", ["manager"]
)
NOT_IN_THE_LOG: Final = Gauge(
    "stockroom_process_events_not_in_the_log",
    "Delivered events that the log does not have: it was restored from a backup, and messages are held.",
    ["manager"],
)
DEAD_LETTERED: Final = Counter(
    "stockroom_process_messages_dead_lettered", "Messages that can't be read at all.", ["manager"]
)
CONSUMED: Final = Gauge(
    "stockroom_process_partitions_consumed", "Partitions whose queues this instance consumes.", ["manager"]
)


def announce(manager: str) -> None:
    """What was not counted yet shows as 0: a rate needs one to begin with."""
    for counter in (EVENTS, TIMERS_FIRED, TIMERS_FAILED, FOUND_MISSING, GAPS, DEAD_LETTERED):
        counter.labels(manager)
    PARKED.labels(manager)
