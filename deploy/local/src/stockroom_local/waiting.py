"""Waiting for a fact, with a deadline."""

import time
from collections.abc import Callable


def wait_until(fact: Callable[[], bool], seconds: float, pause: float = 0.03) -> bool:
    """True as soon as `fact()` holds; False if it never did within `seconds`."""
    deadline = time.monotonic() + seconds
    while not fact():
        if time.monotonic() >= deadline:
            return False
        time.sleep(pause)
    return True
