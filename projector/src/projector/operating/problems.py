"""The projector's own problem types."""

from typing import Final

from chassis.problems import ProblemType

KEY_NOT_PARKED: Final = ProblemType(
    "key-not-parked", 404, "The key is not parked", "Nothing waits with this key, or not any more. `GET /parked` lists."
)
EVENT_NOT_POISONED: Final = ProblemType(
    "event-not-poisoned",
    409,
    "The event blocks no key",
    "Only the event that a key is parked at may be discarded, and only while the log has it. `GET /parked/{key}` names "
    "it as `event_id`.",
)
