"""What a rebuild shows of itself: a bar on a terminal, a line now and then elsewhere."""

import time
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

_LINE_SECONDS: Final = 5.0
_RATED_SECONDS: Final = 10.0


class Display:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._rate = _Rate()
        self._lined = 0.0

    def say(self, text: str) -> None:
        self._end_bar()
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def pages(self, events: int, start: int) -> None:
        """How many events are applied, of about so many as `start` says."""
        rate = self._rate.of(events)
        share = min(1.0, events / start) if start else 1.0
        said = f"{share:.0%} done, {events:,} events" + (f", {rate:,.0f} a second" if rate else "")
        if self._console.is_terminal:
            self._show_bar(said, events, max(events, start))
        elif self._is_time():
            left = f", {_duration((start - events) / rate)} left" if rate and start > events else ""
            self._console.print(said + left, highlight=False, soft_wrap=True)

    def catches_up(self, lag: int) -> None:
        """How many positions the generation is behind the log."""
        if lag and self._is_time():
            self.say(f"catching up, {lag:,} positions behind")

    def _is_time(self) -> bool:
        now = time.monotonic()
        if now - self._lined < _LINE_SECONDS:
            return False
        self._lined = now
        return True

    def _show_bar(self, said: str, events: int, total: int) -> None:
        if self._bar is None:
            columns = TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()
            self._bar = Progress(*columns, console=self._console)
            self._bar.start()
            self._task = self._bar.add_task(said, total=total)
        if self._task is not None:
            self._bar.update(self._task, description=said, completed=events, total=total)

    def _end_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


class _Rate:
    """Events a second over the last few seconds. What was done before it was first asked does not count."""

    def __init__(self) -> None:
        self._seen: list[tuple[float, int]] = []

    def of(self, events: int) -> float:
        now = time.monotonic()
        if self._seen and events < self._seen[-1][1]:
            # Redis has lost what was done.
            self._seen.clear()
        self._seen = [(at, count) for at, count in self._seen if now - at < _RATED_SECONDS]
        self._seen.append((now, events))
        first, before = self._seen[0]
        return (events - before) / (now - first) if now > first else 0.0


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
