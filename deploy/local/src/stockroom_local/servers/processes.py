"""A server as processes of this machine."""

import os
import shutil
import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from stockroom_local import children
from stockroom_local.accounts import Account
from stockroom_local.errors import ServerFailed
from stockroom_local.servers.ports import Ports


@dataclass(frozen=True)
class Invocation:
    """How to run the server's program."""

    command: Sequence[str | Path]
    env: Mapping[str, str]
    cwd: Path
    account: Account | None = None


class ProcessEngine(ABC):
    """Runs a server from its programs, with all it writes under `folder`."""

    name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    death_signal: ClassVar[signal.Signals] = signal.SIGKILL

    def __init__(self, home: Path) -> None:
        self.folder = home / self.name
        self.ports = Ports(home / "ports.json")
        self._log = self.folder / "server.log"
        self._child: children.Child | None = None
        self._port: int | None = None

    @abstractmethod
    def prepare(self) -> None:
        """Makes the data folder and configuration, and clears what a crash left behind."""

    @abstractmethod
    def invocation(self) -> Invocation:
        """The server itself, in the foreground."""

    @property
    def port(self) -> int:
        if self._port is None:
            self._port = self.ports.claim(self.name)
        return self._port

    @property
    def where(self) -> str:
        return str(self.folder)

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return self._child.pid if self._child is not None and self._child.poll() is None else None

    def launch(self) -> None:
        if self.running():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        self._port = self.ports.claim(self.name)
        self.prepare()
        how = self.invocation()
        with self._log.open("wb") as log:
            self._child = children.spawn(
                how.command,
                env=how.env,
                cwd=how.cwd,
                output=log,
                account=how.account,
                death_signal=self.death_signal,
            )

    def running(self) -> bool:
        return self.pid is not None

    def stop(self, seconds: float) -> None:
        if self._child is not None:
            children.stop(self._child, self.stop_signal, seconds)

    def kill(self) -> None:
        if self._child is not None:
            children.kill(self._child)

    def discard(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self) -> str:
        try:
            return self._log.read_text(errors="replace")
        except OSError:
            return ""

    def run_tool(self, how: Invocation, seconds: float) -> str:
        """The output of a program that ends by itself; ServerFailed with what it wrote if it failed."""
        try:
            done = subprocess.run(
                [str(part) for part in how.command],
                env=dict(how.env),
                cwd=how.cwd,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=seconds,
                check=False,
                user=how.account.uid if how.account else None,
                group=how.account.gid if how.account else None,
                extra_groups=[] if how.account else None,
            )
        except subprocess.TimeoutExpired as error:
            raise ServerFailed(f"{how.command[0]} took longer than {seconds:.0f} seconds.") from error
        if done.returncode != 0:
            raise ServerFailed(f"{how.command[0]} failed ({done.returncode}): {(done.stderr or done.stdout).strip()}")
        return done.stdout


def plain_environment(*, without: Sequence[str] = (), **extra: str) -> dict[str, str]:
    """This process's environment, less what begins with one of `without`: settings that aren't for our server."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(tuple(without))}
    return {**kept, "LC_ALL": "C.UTF-8", **extra}
