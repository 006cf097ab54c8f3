"""A barrier's commands sent as arrays to `POST /commands`, and their ends awaited.

Arrays are sent one after the other: commands for one target are accepted, and so executed, in the plan's order. The
ends of several arrays are awaited at once, so that the service always has work, and never more than `UNFINISHED`.
"""

import asyncio
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpx

from command_service.api_client import ImportRefused, NotStockroom, problem_of, problem_text, send
from command_service.retail.plan import Command

ARRAY: Final = 500
UNFINISHED: Final = 4000
"""Commands that the service may have in hand at once."""

MAX_BYTES: Final = 4 * 1024 * 1024
IDS: Final = 100
"""Receipts that are asked for at once."""

WAIT_SECONDS: Final = 30
STALL_SECONDS: Final = 120
"""Seconds without the end of any command after which nobody is taken to execute them."""

_PAUSE_SECONDS: Final = 0.2
_MEMBER: Final = re.compile(r"#/([0-9]+)(/.*)?")


@dataclass(frozen=True, slots=True)
class NotDone:
    """A command that the service refused, or could not execute."""

    command: Command
    why: str


class Sending:
    """Sends to the command API at `url`; calls `on_ended` with how many commands have ended."""

    def __init__(self, client: httpx.AsyncClient, url: str) -> None:
        self._client = client
        self._commands = f"{url.rstrip('/')}/commands"
        self._ended_at = 0.0

    async def run(self, commands: Iterable[Command], on_ended: Callable[[int], None]) -> list[NotDone]:
        """Returns once all have ended; those that did not succeed, in the order of their lines.

        Raises:
            ImportRefused: the ids were used for other commands, or nothing is executed.
            Unreachable, NotStockroom: alone or in a group.
        """
        not_done: list[NotDone] = []
        room = asyncio.Semaphore(UNFINISHED // ARRAY)
        self._ended_at = asyncio.get_running_loop().time()

        async def until_ended(array: Sequence[Command]) -> None:
            try:
                not_done.extend(await self._ends(array, on_ended))
            finally:
                room.release()

        async with asyncio.TaskGroup() as group:
            for array in arrays(commands):
                await room.acquire()
                accepted, refused = await self._submit(array)
                not_done += refused
                on_ended(len(refused))
                group.create_task(until_ended(accepted))
        return sorted(not_done, key=lambda one: one.command.line)

    async def _submit(self, array: Sequence[Command]) -> tuple[Sequence[Command], list[NotDone]]:
        """Those that were accepted, and those that are not valid: such a one refuses its array; the others go again."""
        refused: list[NotDone] = []
        while array:
            response = await send(
                self._client,
                "POST",
                self._commands,
                content=_body(array),
                headers={"Content-Type": "application/json"},
            )
            if response.status_code == 202:
                break
            problem = problem_of(response)
            faults = _faults(problem, len(array))
            if response.status_code != 422 or _reused(problem) or not faults:
                raise ImportRefused(_refusal(problem))
            refused += [NotDone(array[index], f"{problem['title']}: {why}") for index, why in faults.items()]
            array = [command for index, command in enumerate(array) if index not in faults]
        return array, refused

    async def _ends(self, array: Sequence[Command], on_ended: Callable[[int], None]) -> list[NotDone]:
        waiting = {command.id: command for command in array}
        not_done: list[NotDone] = []
        while waiting:
            asked = list(waiting)[:IDS]
            response = await send(
                self._client,
                "GET",
                self._commands,
                params={"ids": ",".join(asked)},
                headers={"Prefer": f"wait={WAIT_SECONDS}"},
            )
            if response.status_code != 200:
                raise NotStockroom(problem_text(problem_of(response)))
            items: list[dict[str, Any]] = response.json()["items"]
            if len(items) != len(asked):
                raise NotStockroom("it does not know all the commands that it accepted")
            ended = [item for item in items if item["status"] != "accepted"]
            for item in ended:
                command = waiting.pop(item["id"])
                if item["status"] != "succeeded":
                    not_done.append(NotDone(command, _outcome(item)))
            on_ended(len(ended))
            self._watch(bool(ended))
            if len(ended) < len(asked):
                await asyncio.sleep(_PAUSE_SECONDS)
        return not_done

    def _watch(self, moved: bool) -> None:
        now = asyncio.get_running_loop().time()
        if moved:
            self._ended_at = now
        elif now - self._ended_at > STALL_SECONDS:
            raise ImportRefused(
                f"The commands are accepted, but none has ended for {STALL_SECONDS} seconds. Is a worker running? "
                "Repeat the import then: what is there already is not done twice."
            )


def arrays(commands: Iterable[Command]) -> Iterator[list[Command]]:
    """In their order, as many in one as the service takes."""
    array: list[Command] = []
    size = 2
    for command in commands:
        length = len(_member(command)) + 1
        if array and (len(array) == ARRAY or size + length > MAX_BYTES):
            yield array
            array, size = [], 2
        array.append(command)
        size += length
    if array:
        yield array


def _body(array: Sequence[Command]) -> bytes:
    return b"[" + b",".join(map(_member, array)) + b"]"


def _member(command: Command) -> bytes:
    member = {
        "type": command.type,
        "id": command.id,
        "effective_at": command.effective_at,
        "data": command.data,
    }
    return json.dumps(member, ensure_ascii=False, separators=(",", ":")).encode()


def _faults(problem: dict[str, Any], members: int) -> dict[int, str]:
    """What is wrong with which member of the array."""
    faults: dict[int, str] = {}
    for error in problem.get("errors", ()):
        place = _MEMBER.fullmatch(error.get("pointer", ""))
        if place and int(place[1]) < members:
            faults.setdefault(int(place[1]), f"{place[2] or ''} {error['detail']}".strip())
    return faults


def _reused(problem: dict[str, Any]) -> bool:
    return str(problem.get("type", "")).endswith("/idempotency-key-reused")


def _refusal(problem: dict[str, Any]) -> str:
    if _reused(problem):
        return (
            "The service knows commands of this import with other content: another version of this file was imported, "
            "or its rules have changed since. It can be imported into a new shop. "
            f"({problem_text(problem)})"
        )
    return f"The service refuses the commands. {problem_text(problem)}"


def _outcome(item: dict[str, Any]) -> str:
    problem = item.get("problem")
    return f"{item['status']}: {problem_text(problem) if problem else 'no reason given'}"
