"""What a caller demands to have been seen: the consistency tokens of a request, and how long it will wait for them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from chassis.problems import Problem, parameter_error
from contracts import tokens
from contracts.keys import Generation
from contracts.tokens import Seen
from query_service.problems import INVALID_TOKEN

DEFAULT_WAIT: Final = 2
"""Seconds that a request with a token waits when it says nothing else."""

_LONGEST_TOKEN: Final = 4096
_MOST_SEEN: Final = 1000

Versions = dict[tuple[str, int], int]
"""By stream and partition."""


@dataclass(frozen=True, slots=True)
class Demand:
    """Streams and their versions; `deadline` is of the event loop's clock."""

    seen: tuple[Seen, ...] = ()
    deadline: float = 0.0

    @property
    def partitions(self) -> set[int]:
        return {seen.partition for seen in self.seen}

    def keys(self, generation: Generation) -> list[str]:
        """What `met` has to look at: for each stream its version, and whether its partition has something parked."""
        keys: list[str] = []
        for seen in self.seen:
            keys += (generation.version(seen.stream_id), generation.parked_in(seen.partition))
        return keys

    def met(self, values: Sequence[bytes | None]) -> bool:
        """Whether a read model with these values of `keys` has seen it all. A parked key is never passed over."""
        return all(
            values[2 * n + 1] is None and int(values[2 * n] or 0) >= seen.version for n, seen in enumerate(self.seen)
        )

    def versions(self, values: Sequence[bytes | None]) -> Versions:
        """What values of `keys` that meet it tell: the demanded streams' versions, nothing parked in their partitions.

        They may be beyond what is demanded.
        """
        return {(seen.stream_id, seen.partition): int(values[2 * n] or 0) for n, seen in enumerate(self.seen)}


NOTHING: Final = Demand()


def demanded(header: str | None, wait: int | None) -> Demand:
    """The demand of a request with this ``Consistency-Token`` header.

    Raises:
        Problem: 400 `invalid-token`.
    """
    if header is None:
        return NOTHING
    texts = [text for part in header.split(",") if (text := part.strip())]
    seen: list[Seen] = []
    for text in texts:
        if len(text) > _LONGEST_TOKEN or len(seen) > _MOST_SEEN:
            raise _invalid()
        try:
            seen += tokens.decode(text)
        except tokens.InvalidToken:
            raise _invalid() from None
    if not texts:
        raise _invalid()
    seconds = DEFAULT_WAIT if wait is None else wait
    return Demand(tuple(seen), asyncio.get_running_loop().time() + seconds)


def _invalid() -> Problem:
    detail = "This is no token of this shop."
    return Problem(INVALID_TOKEN, detail, members={"errors": [parameter_error("Consistency-Token", detail)]})
