"""What the clients were answered: held against the log at the end."""

from dataclasses import dataclass, field
from typing import Any

from chaos.matrix import AFTERWARDS, Matrix


@dataclass(slots=True)
class Sent:
    """A command that was answered. `problem` is the slug of its refusal; `event` is what it must have led to.

    `event` is "" where nothing may have happened, and None where that depends on others.
    """

    id: str
    type: str
    event: str | None
    during: str
    is_ok: bool = False
    problem: str | None = None
    version: int | None = None
    token: str | None = None
    result_id: str | None = None


@dataclass(slots=True)
class Record:
    """Everything that was answered. Only the load's thread writes it."""

    matrix: Matrix
    sent: dict[str, Sent] = field(default_factory=dict)
    shown: dict[tuple[str, int], tuple[Any, ...]] = field(default_factory=dict)
    """Stream and version → what a query said of it then."""
    not_payable: set[str] = field(default_factory=set)
    """Orders whose payment was refused: they must have expired."""
    retries: int = 0
    reads: int = 0
    unavailable: int = 0
    """Reads that a fault made fail, as it may."""
    checked: int = 0
    """Reads whose content was held against what the client knew."""

    def during(self, command: str) -> str:
        """Which faults were about when a command was first sent."""
        return self.sent[command].during if command in self.sent else AFTERWARDS

    def show(self, stream: str, version: int, content: tuple[Any, ...]) -> None:
        """A query's answer; two answers of one version must be one."""
        before = self.shown.setdefault((stream, version), content)
        if before != content:
            self.matrix.find("stale", f"{stream} at version {version} was shown as {before} and as {content}")
