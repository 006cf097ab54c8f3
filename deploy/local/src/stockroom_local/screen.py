"""What a person sees of a local run: plain lines, with a spinner where there is a terminal."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console


class Screen:
    """Writes progress to stdout, where the services' logs go too. Not for use by two threads."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(soft_wrap=True, highlight=False)
        self._start = time.monotonic()

    def say(self, text: str, style: str | None = None) -> None:
        """One message."""
        self._console.print(text, style=style, markup=False)

    def failed(self, text: str) -> None:
        """A message about what went wrong."""
        self.say(text, "bold red")

    @contextmanager
    def step(self, doing: str) -> Iterator[None]:
        """Shows what is being done, and how long it took (seconds) when it is done."""
        begin = time.monotonic()
        with self._console.status(doing) if self._console.is_terminal else _nothing():
            yield
        self.say(f"{doing}: done in {time.monotonic() - begin:.1f} s")

    def table(self, title: str, rows: Mapping[str, str]) -> None:
        """Names and what they stand for, one per line."""
        width = max(map(len, rows), default=0)
        self.say(f"\n{title} (after {time.monotonic() - self._start:.0f} s)", "bold green")
        for name, value in rows.items():
            self.say(f"  {name.ljust(width)}  {value}")
        self.say("")


@contextmanager
def _nothing() -> Iterator[None]:
    yield
