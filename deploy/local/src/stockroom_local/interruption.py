"""Ctrl-C and SIGTERM, as an exception that unwinds what has been started."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(BaseException):
    """Somebody asked us to stop. Like KeyboardInterrupt not an Exception: nothing may swallow it."""


@contextmanager
def raised_on_signals() -> Iterator[None]:
    """The first SIGINT, SIGTERM or SIGHUP raises Interrupted in the main thread; later ones disturb nothing."""
    seen = False

    def once(_number: int, _frame: FrameType | None) -> None:
        nonlocal seen
        if not seen:
            seen = True
            raise Interrupted

    before = {each: signal.signal(each, once) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
