"""What is being done just now: a line that changes on a terminal, a line each elsewhere."""

import time
from types import TracebackType

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

REDRAWN_PER_SECOND = 1
"""Drawing costs processor time that the measured processes would like to have."""


class Progress:
    def __init__(self, console: Console, rows: int) -> None:
        self._console = console
        self._began = time.monotonic()
        self._row = ""
        columns = (MofNCompleteColumn(), BarColumn(20), TimeElapsedColumn(), TextColumn("{task.description}"))
        self._bar = Bar(*columns, console=console, refresh_per_second=REDRAWN_PER_SECOND, transient=True)
        self._task = self._bar.add_task("", total=rows)

    def __enter__(self) -> "Progress":
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        if self._console.is_terminal:
            self._bar.stop()

    def begin(self, row: str) -> None:
        self._row = f"{row}: "

    def end(self) -> None:
        self._row = ""
        self._bar.advance(self._task)

    def tell(self, what: str) -> None:
        """What is done now."""
        if self._console.is_terminal:
            self._bar.update(self._task, description=f"{self._row}{what}")
        else:
            passed = time.monotonic() - self._began
            self._console.print(f"[{passed:5.0f} s] {self._row}{what}", highlight=False, markup=False, soft_wrap=True)

    def say(self, what: RenderableType) -> None:
        """What stays."""
        self._console.print(what, highlight=False)
