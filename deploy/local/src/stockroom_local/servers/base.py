"""What the three servers have in common, however they run."""

from abc import ABC, abstractmethod
from typing import ClassVar, Protocol

from stockroom_local.errors import ServerFailed
from stockroom_local.waiting import wait_until

READY_SECONDS = 90.0
STOP_SECONDS = 20.0
_LOG_LINES = 25


class Engine(Protocol):
    """How a server runs: as processes of this machine or as a container. Its data survives `stop` and `kill`."""

    @property
    def port(self) -> int:
        """The port on 127.0.0.1 that clients use; the same over a restart."""

    @property
    def where(self) -> str:
        """Where its data is, for a person to read."""

    def launch(self) -> None:
        """Sets it going, without waiting until it answers. Does nothing if it runs."""

    def running(self) -> bool:
        """Whether it has been launched and has not ended."""

    def stop(self, seconds: float) -> None:
        """Ends it cleanly, by force after `seconds`. Nothing of it is left running."""

    def kill(self) -> None:
        """Ends it as a crash would: SIGKILL."""

    def discard(self) -> None:
        """Deletes its data, once it has stopped."""

    def log(self) -> str:
        """What it has written."""

    def tool(self, *command: str, seconds: float = 60.0) -> str:
        """The output of one of the server's own programs, run against it; ServerFailed if that failed."""


class Server(ABC):
    """A server of our own on 127.0.0.1. Restarting keeps its data and its URL."""

    title: ClassVar[str]

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @property
    def port(self) -> int:
        """The port on 127.0.0.1."""
        return self.engine.port

    @property
    @abstractmethod
    def url(self) -> str:
        """Where clients reach it."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether it serves a client at this moment. Never raises, never takes longer than 5 seconds."""

    def is_loading(self) -> bool:
        """Whether it is reading its data from disk at this moment, which takes as long as there is much of it."""
        return False

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return self.engine.running()

    def start(self) -> None:
        """Returns when the server answers; ServerFailed with the end of its log otherwise."""
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Sets it going without waiting, so that several can start side by side."""
        self.engine.launch()

    def wait_ready(self, seconds: float = READY_SECONDS) -> None:
        """Returns when the server answers; ServerFailed if it ends before that or takes longer than `seconds`.

        One that says that it is loading its data is given as long again.
        """
        serves = False

        def settled() -> bool:
            nonlocal serves
            serves = self.answers()
            return serves or not self.engine.running()

        while not wait_until(settled, seconds, pause=0.05) and self.is_loading():
            pass
        if not self.engine.running():
            raise ServerFailed(f"{self.title} ended while starting.\n{self.log_tail()}")
        if not serves:
            raise ServerFailed(f"{self.title} did not answer within {seconds:.0f} seconds.\n{self.log_tail()}")

    def stop(self) -> None:
        """Ends it cleanly; what it had acknowledged is there at the next start."""
        self.engine.stop(STOP_SECONDS)

    def kill(self) -> None:
        """SIGKILL: what a crash of the server looks like."""
        self.engine.kill()

    def restart(self) -> None:
        """A clean stop, then a start; same port, same data."""
        self.stop()
        self.start()

    def discard(self) -> None:
        """Ends it if it runs, and deletes its data."""
        self.stop()
        self.engine.discard()

    def log_tail(self) -> str:
        """The last lines of the server's log, for a message."""
        lines = self.engine.log().splitlines()[-_LOG_LINES:]
        return "\n".join(["The end of its log:", *(f"  {line}" for line in lines)]) if lines else "It wrote no log."
