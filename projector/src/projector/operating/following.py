"""Follows parked keys until the leading walk has tried them."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

from projector.operating.parked import KeyNotParked, ParkedKey, ParkedKeys

LEADERLESS: Final = 6.0
"""Seconds without a leader after which none is running: the lease of one that was killed ends after three."""

_PAUSE: Final = 0.1


async def follow(keys: ParkedKeys, tried: Sequence[ParkedKey], deadline: float, tell: Callable[[str], None]) -> int:
    """Tells what comes of each key that is to be tried (as it was before that); how many are still parked.

    Gives up after `deadline` seconds, or when no projector is running to try them.
    """
    waiting = list(tried)
    failed = 0
    began = led = time.monotonic()
    while True:
        for before in list(waiting):
            try:
                parked = await keys.find(before.key)
            except KeyNotParked:
                tell(f"{before.key}: unparked")
            else:
                if (parked.attempts, parked.since) == (before.attempts, before.since):
                    continue
                tell(f"{parked.key}: still parked at {parked.event_id}: {parked.reason}")
                failed += 1
            waiting.remove(before)
        if not waiting:
            return failed
        now = time.monotonic()
        led = now if await keys.is_led() else led
        if now - led > LEADERLESS:
            tell(f"No projector is running to try {_keys(waiting)}. Start one: it will try at once.")
            return failed + len(waiting)
        if now - began > deadline:
            tell(f"Not tried yet: {_keys(waiting)}. It will be, as soon as the projector comes to it.")
            return failed + len(waiting)
        await asyncio.sleep(_PAUSE)


def _keys(waiting: Sequence[ParkedKey]) -> str:
    return waiting[0].key if len(waiting) == 1 else f"{len(waiting)} keys"
