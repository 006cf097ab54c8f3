"""Runs our processes side by side, each line of their logs under its name.

honcho writes the lines. Its manager is not used: it has no deadline for processes that ignore SIGTERM, leaves its
children running when it is killed itself, and can do nothing between starting and waiting, where we wait for health and
load the sample shop.
"""

import datetime
import http.client
import queue
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from honcho.colour import get_colours
from honcho.printer import Message, Printer

from stockroom_local import children
from stockroom_local.errors import ProcessFailed

READY_SECONDS = 60.0
STOP_SECONDS = 10.0


@dataclass(frozen=True)
class Running:
    """A process of ours; `log` is the thread that passes on what it writes."""

    name: str
    child: children.Child
    log: threading.Thread


class Supervisor:
    """Starts processes and watches over them; restarts none. Use it from the main thread only."""

    def __init__(self, environment: Mapping[str, str], folder: Path, names: Sequence[str]) -> None:
        self._environment = environment
        self._folder = folder
        self._running: list[Running] = []
        self._lines: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._printer = Printer(width=max(map(len, names), default=0))
        self._colours = get_colours()

    def start(self, name: str, command: Sequence[str | Path]) -> None:
        """Sets the process going; its output appears when `watch` or `run_to_end` is at work."""
        child = children.spawn(command, env=self._environment, cwd=self._folder, output=children.PIPE)
        assert child.stdout is not None
        log = threading.Thread(target=self._collect, args=(name, next(self._colours), child.stdout), daemon=True)
        log.start()
        self._running.append(Running(name, child, log))

    def run_to_end(self, name: str, command: Sequence[str | Path]) -> int:
        """The exit code of a process that ends by itself, and has the terminal for itself until then.

        ProcessFailed if another process dies meanwhile.
        """
        child = children.spawn(command, env=self._environment, cwd=self._folder, output=None)
        try:
            while child.poll() is None:
                self.require_all_running()
                time.sleep(0.05)
            return child.returncode
        finally:
            children.stop(child, signal.SIGTERM, STOP_SECONDS)

    def wait_ready(self, ports: Mapping[str, int], seconds: float = READY_SECONDS) -> None:
        """Returns when each of these answers `/health/ready` with 200.

        ProcessFailed naming those that don't within `seconds`, or one that ends.
        """
        deadline = time.monotonic() + seconds
        waiting = dict(ports)
        while waiting:
            self.show()
            self.require_all_running()
            waiting = {name: port for name, port in waiting.items() if not is_ready(port)}
            if waiting and time.monotonic() >= deadline:
                raise ProcessFailed(
                    f"Not ready within {seconds:.0f} seconds: {', '.join(waiting)}. Their logs are above."
                )
            time.sleep(0.1 if waiting else 0)

    def watch(self, also: Callable[[], None]) -> None:
        """Passes logs on until a process dies (ProcessFailed) or `also`, called a few times a second, raises."""
        while True:
            self.show(wait=0.25)
            self.require_all_running()
            also()

    def require_all_running(self) -> None:
        """ProcessFailed with the name and exit code of a process that has ended."""
        for each in self._running:
            code = each.child.poll()
            if code is not None:
                each.log.join(2)
                self.show()
                raise ProcessFailed(f"{each.name} ended by itself: {describe(code)}. Everything else is being stopped.")

    def show(self, wait: float = 0.0) -> None:
        """Prints the lines that have come, waiting at most `wait` seconds for the first."""
        try:
            self._printer.write(self._lines.get(timeout=wait) if wait else self._lines.get_nowait())
            while True:
                self._printer.write(self._lines.get_nowait())
        except queue.Empty:
            return

    def stop(self) -> None:
        """SIGTERM to all at once, SIGKILL to whatever lives after STOP_SECONDS; their last lines are shown."""
        running, self._running = self._running, []
        deadline = time.monotonic() + STOP_SECONDS
        members = [member for each in running for member in children.family(each.child.pid)]
        for each in running:
            if each.child.poll() is None:
                each.child.send_signal(signal.SIGTERM)
        while time.monotonic() < deadline and any(each.child.poll() is None for each in running):
            self.show(wait=0.1)
        for each in running:
            children.stop(each.child, signal.SIGKILL, 5)
        children.kill_all(members)
        for each in running:
            each.log.join(2)
        self.show()

    def _collect(self, name: str, colour: str, output: IO[bytes]) -> None:
        with output:
            for line in output:
                self._lines.put(Message("line", line, datetime.datetime.now(), name, colour))


def is_ready(port: int) -> bool:
    """Whether the service on this port says that it can serve."""
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=3)
    try:
        link.request("GET", "/health/ready")
        return link.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        link.close()


def describe(code: int) -> str:
    """An exit code for a person: processes ended by a signal have a negative one."""
    return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name} (exit code {code})"
