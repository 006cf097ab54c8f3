"""Scripts that are asked for together share a round trip, and each is answered what is its own."""

import asyncio
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any, cast

import pytest

from chassis.problems import Problem
from query_service.read_model import scripts
from query_service.read_model.redis_client import Redis, Reply, UnknownScript, Unreachable
from query_service.read_model.scripts import AT_ONCE, TOGETHER, Script, Scripts

SCRIPT = Script("related.lua")


class Server:
    """Answers a script with its last argument, or with what `answers` says of it."""

    def __init__(self) -> None:
        self.asked: list[list[Any]] = []
        self.reached = True
        self.answers: dict[Any, Any] = {}
        self.knows = {SCRIPT.digest}
        self.gate = asyncio.Event()
        self.gate.set()

    async def together(self, commands: Sequence[Sequence[Any]]) -> list[Reply]:
        self.asked.append([command[-1] for command in commands])
        await self.gate.wait()
        if not self.reached:
            return [Unreachable("hangs")] * len(commands)
        return [self._reply(*command) for command in commands]

    def _reply(self, name: str, script: str, *arguments: Any) -> Reply:
        if name == "EVALSHA_RO" and script not in self.knows:
            return UnknownScript(script)
        answer = self.answers.get(arguments[-1], [arguments[-1]])
        if isinstance(answer, Exception) and not isinstance(answer, Unreachable):
            raise answer
        return answer


@pytest.fixture
def server() -> Server:
    return Server()


def running(server: Server) -> Scripts:
    return Scripts(cast(Redis, server))


async def test_what_is_asked_while_others_are_under_way_shares_a_round_trip(server: Server) -> None:
    server.gate.clear()
    running_scripts = running(server)
    asked = []
    for number in range(AT_ONCE + TOGETHER + 1):
        asked.append(running_scripts.run(SCRIPT, (0, number)))
        await asyncio.sleep(0)  # a turn of its own
    server.gate.set()
    assert await asyncio.gather(*asked) == [[number] for number in range(AT_ONCE + TOGETHER + 1)]
    assert sorted(map(len, server.asked)) == sorted([*[1] * AT_ONCE, TOGETHER, 1])


async def test_one_alone_is_asked_at_once(server: Server) -> None:
    running_scripts = running(server)
    for number in range(3):
        assert await running_scripts.run(SCRIPT, (0, number)) == [number]
    assert server.asked == [[0], [1], [2]]


async def test_a_script_that_redis_does_not_know_is_sent_whole(server: Server) -> None:
    server.knows.clear()
    running_scripts = running(server)
    asked = range(TOGETHER)
    answers = await asyncio.gather(*(running_scripts.run(SCRIPT, (0, number)) for number in asked))
    assert answers == [[number] for number in asked]
    assert server.asked == [[*asked]] * 2  # all of them again together, not one after the other


async def test_a_redis_that_hangs_is_waited_for_once_and_not_by_one_after_the_other(server: Server) -> None:
    server.gate.clear()
    running_scripts = running(server)
    asked = [running_scripts.run(SCRIPT, (0, number)) for number in range(50 * TOGETHER)]
    server.reached = False
    server.gate.set()
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert all(isinstance(answer, Problem) and answer.kind.status == 503 for answer in answers)
    assert len(set(map(id, answers))) == len(answers)  # each its own
    assert len(server.asked) <= AT_ONCE
    server.reached = True
    assert await running_scripts.run(SCRIPT, (0, 1)) == [1]


async def test_a_fault_is_told_to_whom_it_concerns_and_to_nobody_else(server: Server) -> None:
    server.answers = {1: Unreachable("busy")}
    running_scripts = running(server)
    asked = [running_scripts.run(SCRIPT, (0, number)) for number in range(4)]
    first, second, *others = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(second, Problem) and second.kind.status == 503
    assert [first, *others] == [[0], [2], [3]]


async def test_who_gave_up_meanwhile_is_in_nobodys_way(server: Server) -> None:
    server.gate.clear()
    running_scripts = running(server)
    asked = [asyncio.ensure_future(running_scripts.run(SCRIPT, (0, number))) for number in range(4)]
    asked[1].cancel()
    await asyncio.sleep(0)
    asked[2].cancel()
    server.gate.set()
    assert await asyncio.gather(asked[0], asked[3]) == [[0], [3]]
    assert server.asked == [[0, 2, 3]]  # who gave up before is not even asked for


async def test_what_is_logged_for_all_carries_the_id_of_none(server: Server) -> None:
    bound: ContextVar[str] = ContextVar("test")
    seen: list[str | None] = []
    bound.set("the first who asked")
    together = server.together

    async def looked_at(commands: Sequence[Sequence[Any]]) -> list[Reply]:
        seen.append(bound.get(None))
        return await together(commands)

    server.together = looked_at  # type: ignore[method-assign]
    assert await running(server).run(SCRIPT, (0, 2)) == [2]
    assert seen == [None]


async def test_a_fault_of_ours_leaves_nobody_waiting(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scripts, "AT_ONCE", 1)
    server.answers = {1: KeyError("a mistake")}
    running_scripts = running(server)
    asked = [running_scripts.run(SCRIPT, (0, number)) for number in range(3)]
    for answer in await asyncio.gather(*asked, return_exceptions=True):
        assert isinstance(answer, RuntimeError) and isinstance(answer.__cause__, KeyError)
    assert await running_scripts.run(SCRIPT, (0, 5)) == [5]
