"""What the projector counts, for Prometheus."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

APPLIED: Final = Counter("stockroom_projector_events_applied", "Events applied to the read model.", ["partition"])
IGNORED: Final = Counter(
    "stockroom_projector_events_ignored", "Events that had been applied before: redelivered or replayed."
)
LEFT_OUT: Final = Counter("stockroom_projector_events_parked", "Events left out because their key is parked.")
CONFLICTS: Final = Counter("stockroom_projector_conflicts", "Batches folded again because another one was quicker.")
GAPS_HEALED: Final = Counter("stockroom_projector_gaps_healed", "Streams whose missing events came from the log.")
PARKED: Final = Gauge(
    "stockroom_projector_parked_keys", "Partition keys that wait for a redrive.", ["generation", "partition"]
)
REDRIVES: Final = Counter("stockroom_projector_redrives", "Tries to redrive a parked key.", ["outcome"])
DEAD_LETTERED: Final = Counter("stockroom_projector_messages_dead_lettered", "Messages that can't be read at all.")
BATCH_EVENTS: Final = Histogram(
    "stockroom_projector_batch_events", "Events in one batch.", buckets=(1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500)
)
APPLY_SECONDS: Final = Histogram(
    "stockroom_projector_apply_seconds",
    "Seconds from reading the state of a batch to its commit in Redis.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)
LAG_SECONDS: Final = Gauge(
    "stockroom_projector_lag_seconds", "Age of the last applied event when it was applied.", ["partition"]
)
LAG_EVENTS: Final = Gauge(
    "stockroom_projector_lag_events",
    "Positions of the log between what is settled and what a partition has applied; 0 when it misses nothing. "
    "Known to the instance that leads the walk.",
    ["generation", "partition"],
)
BEHIND_SECONDS: Final = Gauge(
    "stockroom_projector_behind_seconds",
    "Seconds for which the walk has waited, at one place, for events that the log has and the generation lacks; "
    "0 when it lacks none. Known to the instance that leads the walk.",
    ["generation"],
)
CONSUMED: Final = Gauge(
    "stockroom_projector_partitions_consumed", "Partitions whose queues this instance consumes.", ["generation"]
)
IN_HAND: Final = Gauge(
    "stockroom_projector_messages_in_hand", "Messages delivered and not applied yet.", ["generation", "partition"]
)
WALKS: Final = Counter("stockroom_projector_walks", "Comparisons of the read model with the log.", ["outcome"])
for _outcome in ("compared", "following", "repaired", "failed"):  # a rate needs a 0 to begin with
    WALKS.labels(_outcome)
LEADING: Final = Gauge("stockroom_projector_walk_leading", "1 while this instance leads the walk.", ["generation"])
WHOLE: Final = Gauge("stockroom_projector_generation_whole", "1 while the generation is whole.", ["generation"])
LIVE: Final = Gauge("stockroom_projector_generation_live", "Number of the generation that is to be read.")
BUILDING: Final = Gauge(
    "stockroom_projector_generation_building", "Number of the generation that is being built; 0 when there is none."
)
LOG_DIFFERS: Final = Gauge(
    "stockroom_projector_log_differs",
    "1 while the log is not the one that the generation was made from: Postgres was restored from a backup.",
    ["generation"],
)
OTHER_CODE: Final = Gauge(
    "stockroom_projector_generation_of_other_code",
    "1 while the generation is one that code of another version has made.",
    ["generation"],
)
REPAIR_POSITION: Final = Gauge("stockroom_projector_repair_position", "Position that the repair has come to.")
REPAIR_TARGET: Final = Gauge("stockroom_projector_repair_target", "Position at which the repair ends.")


def forget(generation: int) -> None:
    """What was said of a generation that is not worked on any more is not said again and again."""
    for gauge in (PARKED, LAG_EVENTS, BEHIND_SECONDS, LEADING, WHOLE, CONSUMED, IN_HAND):
        gauge.remove_by_labels({"generation": str(generation)})


def ended(generation: int) -> None:
    """Nor is it said of a generation that was dropped why it could not be worked on."""
    for gauge in (LOG_DIFFERS, OTHER_CODE):
        gauge.remove_by_labels({"generation": str(generation)})
