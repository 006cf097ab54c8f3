"""The heart of random trade: a command goes to the code and to the plain shop, which predicts the answer."""

from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine

from command_service.envelope import KeyReused, Outcome
from command_service.executor.batch import Answer as RealAnswer
from command_service.executor.batch import IsAccepted
from command_service.executor.jobs import Job

from .plain_shop import CREATING, INTERNAL, PlainShop
from .plain_things import Answer, Data
from .write_side import PROCESSES, TODAY, WriteSide, read

UNKNOWN = str(UUID(int=0xFFFF))
PRICES = ("0", "0.0049", "0.005", "0.125", "1", "2.50", "3.3333", "19.99", 7, Decimal("1.25"))
NUMBERS = st.integers(0, 20)
"""Which of those that there are, by turns; the last stands for one that there is not."""
SOME_PIECES = st.integers(1, 6)
REASONS = st.sampled_from((None, "why", ""))
USERS = st.sampled_from(("ann", "bob"))


@dataclass(frozen=True)
class How:
    """How a command comes. The simplest is: alone, executed at once, as of now and whatever the version."""

    together: bool = False
    """In one batch with the next."""
    queued: bool = False
    """Accepted now, executed later."""
    process: int = 0
    expected: int | str | None = None
    """`If-Match`: an offset from the true version, or ``*``."""
    day: int | None = None
    """Told afterwards: on a day of March."""


HOWS = st.builds(
    How,
    together=st.booleans(),
    queued=st.sampled_from((False, False, False, False, True)),
    process=st.integers(0, PROCESSES - 1),
    expected=st.sampled_from((None,) * 8 + (0, 0, "*", 1, -1)),
    day=st.sampled_from((None, None, None, 1, 2)),
)


class Sending(RuleBasedStateMachine):
    """Commands wait until a batch is full; then each must have the answer that it has when they come one by one."""

    def __init__(self) -> None:
        super().__init__()
        self.open("EUR")

    def open(self, currency: str) -> None:
        """Everything anew."""
        self.side = WriteSide(currency)
        self.plain = PlainShop(currency, TODAY.isoformat())
        self.sent: list[Data] = []
        self._batch: list[tuple[Job, Answer]] = []

    def send(self, kind: str, data: Data, how: How) -> None:
        document: Data = {"type": kind, "data": data, "id": f"command-{len(self.sent)}"}
        if kind in CREATING:
            if len(self.sent) % 2:
                # Its sender leaves the id open, and the server chooses this one.
                document["data"] = {name: value for name, value in data.items() if name != "id"}
                document["assigned_id"] = data["id"]
        elif how.expected is not None and kind not in INTERNAL:
            offset, version = how.expected, self.plain.version(kind, data)
            document["expected_version"] = offset if isinstance(offset, str) else max(0, version + offset)
        if how.day is not None:
            document["effective_at"] = f"2026-03-0{how.day}T12:00:00.000000Z"
        self.sent.append(document)
        self.issue(document, how)

    def issue(self, document: Data, how: How) -> None:
        command = read(document)
        if how.queued:
            self._batch.append((self.side.acceptance(command), self.plain.accept(document)))
        else:
            self.execute(document, document)
        if not how.together:
            self.settle(how.process)

    def execute(self, message: Data, document: Data) -> None:
        """What comes as `message` was sent as `document`; it is executed with the batch."""
        self._batch.append((self.side.execution(read(message)), self.plain.send(document)))

    def settle(self, process: int = 0) -> None:
        """Commits what waits, and holds the answers to those of the plain shop."""
        batch, self._batch = self._batch, []
        if batch:
            answers = self.side.commit([job for job, _ in batch], process)
            assert [_plainly(answer) for answer in answers] == [predicted for _, predicted in batch]

    @property
    def is_settled(self) -> bool:
        return not self._batch

    def product(self, number: int) -> str:
        return one_of(list(self.plain.products), number)

    def order(self, number: int) -> str:
        return one_of(list(self.plain.orders), number)


def one_of(known: list[str], number: int) -> str:
    return UNKNOWN if number == 20 or not known else known[number % len(known)]


def _plainly(answer: RealAnswer) -> Answer:
    match answer:
        case Outcome(problem=None):
            return Answer(None, answer.version, answer.result or {})
        case Outcome(problem=problem):
            assert problem is not None
            in_each = ("type", "title", "status", "detail")
            says = {name: value for name, value in problem.items() if name not in in_each}
            return Answer(problem["type"].removeprefix("/problems/"), says=says)
        case IsAccepted():
            return Answer()
        case KeyReused():
            return Answer("idempotency-key-reused")
        case _:
            raise answer
