"""Where an event stands, as its id says it: ``<stream>@<version>``."""

from typing import Annotated, Final

from pydantic import Field, StringConstraints

EVENT_ID_PATTERN: Final = r"^[a-z]+-[!-.0-~]{1,150}@[1-9][0-9]{0,8}$"
EventId = Annotated[
    str,
    StringConstraints(strict=True, pattern=EVENT_ID_PATTERN),
    Field(description="An event's id: <stream>@<version>."),
]


def place_of(event_id: str) -> tuple[str, int]:
    """The stream and the version in it. A stream's own id may have an @."""
    stream_id, _, version = event_id.rpartition("@")
    return stream_id, int(version)
