"""Whatever breaks while two processes commit: a command happens once or not at all, and whoever asks again hears it."""

import asyncio
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

import asyncpg
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from chassis.ids import new_id
from command_service.envelope import KeyReused, Outcome, Unavailable
from command_service.event_store.feed import Feed
from command_service.executor import executor as executor_module
from command_service.settings import CommandSettings

from .client_steps import LINES, ORDERS, PRODUCTS, STEPS, Documents, Step
from .executor_faults import FAULTS, HASTY, PATIENT, Breaking, Fault, Processes
from .plain_run import is_a_run_of_the_plain_shop, receipts_say_what_happened
from .plain_things import Data
from .running import SHRINKING_SECONDS, TIMES, with_faults
from .write_side import read

pytestmark = pytest.mark.timeout(SHRINKING_SECONDS * TIMES)

T = TypeVar("T")


@dataclass(frozen=True)
class Asking:
    """Somebody waits for the outcome of a command."""

    document: Data
    process: int
    answer: "asyncio.Task[Outcome]"


class Clients(RuleBasedStateMachine):
    """Clients send at once, give up, and ask again, while connections break under both processes."""

    def __init__(self, processes: Processes) -> None:
        super().__init__()
        self.processes = processes
        self.sent: dict[str, list[Data]] = {}
        """By id; each with its contents, of which one counts."""
        self.asking: list[Asking] = []
        self.outcomes: dict[str, Outcome] = {}
        self.happened: dict[str, Data] = {}
        """What each id has come to stand for."""
        self.refused: list[Data] = []
        self.before = self.run(self._sql.fetchval("SELECT coalesce(max(position), 0) FROM events"))

    @property
    def _sql(self) -> asyncpg.Connection:
        return self.processes.sql

    def run(self, work: Awaitable[T]) -> T:
        return self.processes.run(work)

    @initialize(stock=st.integers(0, 20), lines=st.lists(LINES, min_size=ORDERS, max_size=ORDERS))
    def a_shop(self, stock: int, lines: list[list[tuple[int, int]]]) -> None:
        products, orders = ([new_id() for _ in range(count)] for count in (PRODUCTS, ORDERS))
        self.documents = Documents(products, orders, lines)
        for product in range(PRODUCTS):
            self.send(self.documents.adding(product, stock), PATIENT)

    def send(self, document: Data, process: int) -> None:
        document = {"id": new_id(), **document}
        self.sent.setdefault(document["id"], []).append(document)
        self.run(self._ask(document, process))

    async def _ask(self, document: Data, process: int) -> None:
        answer = asyncio.ensure_future(self.processes.executors[process].execute(read(document)))
        self.asking.append(Asking(document, process, answer))
        await asyncio.sleep(0)

    @rule(steps=st.lists(STEPS, min_size=1, max_size=5), expected=st.sampled_from((None, None, None, 1, 2, "*")))
    def clients_send(self, steps: list[Step], expected: int | str | None) -> None:
        for step in steps:
            document = self.documents.of(step)
            if expected is not None and step.kind not in ("PlaceOrder", "ExpireOrder"):
                document["expected_version"] = expected
            self.send(document, step.process)
            if step.twice:
                self.run(self._ask(self.sent[[*self.sent][-1]][-1], 1 - step.process))

    @precondition(lambda self: self.sent)
    @rule(number=st.integers(0, 30), process=st.integers(0, 1))
    def a_client_asks_again(self, number: int, process: int) -> None:
        self.run(self._ask(self._recent(number), process))

    @precondition(lambda self: self.sent)
    @rule(number=st.integers(0, 30), process=st.integers(0, 1), quantity=st.integers(1, 3))
    def the_same_id_comes_with_another_content(self, number: int, process: int, quantity: int) -> None:
        other = self.documents.of(Step("AddToInventory", 0, 0, quantity, 0, False, False))
        self.send({"id": self._recent(number)["id"], **other}, process)

    @rule(faults=st.lists(FAULTS, min_size=1, max_size=4))
    def something_is_going_to_break(self, faults: list[Fault]) -> None:
        self.processes.faults += faults

    @precondition(lambda self: self.asking)
    @rule(number=st.integers(0, 30))
    def a_caller_leaves(self, number: int) -> None:
        self.asking[number % len(self.asking)].answer.cancel()

    @precondition(lambda self: self.asking)
    @rule()
    def somebody_is_answered(self) -> None:
        self.run(asyncio.wait([one.answer for one in self.asking], return_when=asyncio.FIRST_COMPLETED))

    @precondition(lambda self: self.asking)
    @rule()
    def everybody_is_answered(self) -> None:
        asking, self.asking = self.asking, []
        self.run(asyncio.wait([one.answer for one in asking]))
        for one in asking:
            if not one.answer.cancelled():
                self._hear(one)

    def _hear(self, one: Asking) -> None:
        command_id = one.document["id"]
        match one.answer.exception():
            case None:
                told = (one.document, one.answer.result())
                document = self.happened.setdefault(command_id, one.document)
                assert told == (document, self.outcomes.setdefault(command_id, told[1]))
            case KeyReused():
                self.refused.append(one.document)
            case Unavailable() if one.process == HASTY:
                pass
            case error:
                assert error is not None
                raise error

    def _recent(self, number: int) -> Data:
        return [document for contents in self.sent.values() for document in contents][-1 - number % len(self.sent)]

    def teardown(self) -> None:
        try:
            self.run(self.processes.calm())
            if self.asking:
                self.everybody_is_answered()
            for contents in self.sent.values():
                for document in contents:
                    self.run(self._ask(document, PATIENT))
            self.everybody_is_answered()
            assert self.happened.keys() == self.sent.keys()
            assert all(self.happened[document["id"]] != document for document in self.refused)
            self.run(self._is_in_the_log_once())
        finally:
            self.run(self._leave())

    async def _is_in_the_log_once(self) -> None:
        log = (await Feed(self.processes.engine).page(self.before, 10_000)).events
        is_a_run_of_the_plain_shop(log, self.happened, self.outcomes)
        await receipts_say_what_happened(self._sql, log, self.outcomes)
        written_apart = await self._sql.fetch(_WRITTEN_APART, self.before)
        assert written_apart == []

    async def _leave(self) -> None:
        for one in self.asking:
            one.answer.cancel()
        await asyncio.gather(*(one.answer for one in self.asking), return_exceptions=True)
        await self.processes.calm()
        await self._sql.execute("DELETE FROM outbox")


_WRITTEN_APART: Final = """
SELECT e.stream_id, e.version, o.seq, r.command_id
  FROM (SELECT *, xmin AS by FROM events WHERE position > $1) e
  FULL JOIN (SELECT *, xmin AS by FROM outbox) o ON o.message::json ->> 'id' = e.stream_id || '@' || e.version
  LEFT JOIN (SELECT *, xmin AS by FROM receipts) r ON r.command_id = e.metadata ->> 'command_id'
 WHERE e.by IS DISTINCT FROM o.by OR e.by IS DISTINCT FROM r.by
"""
"""Events, outbox rows and receipts that lack one another, or were not written by one transaction."""


@pytest.fixture
def processes(
    settings: CommandSettings, shop_url: str, monkeypatch: pytest.MonkeyPatch, frequent_snapshots: None
) -> Iterator[Processes]:
    processes = Processes(settings)
    monkeypatch.setattr(Breaking, "break_at", staticmethod(processes.break_at), raising=False)
    monkeypatch.setattr(executor_module, "BatchTransaction", Breaking)
    with processes.runner:
        processes.run(processes.open())
        yield processes
        processes.run(processes.close())


def test_whatever_breaks_a_command_happens_once_and_is_told_the_same_to_all_who_ask(processes: Processes) -> None:
    run_state_machine_as_test(partial(Clients, processes), settings=with_faults(examples=30, steps=20))
