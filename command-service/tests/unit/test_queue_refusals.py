"""What a stranger publishes, and what becomes of a command that a fault stops: no message stops a worker."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from command_service.bootstrap import command_reader
from command_service.envelope import CommandEnvelope, ExecutionFailed, KeyReused, Outcome, Unavailable
from command_service.mediator import Mediator
from command_service.queue import executing
from command_service.queue.executing import ATTEMPTS, Execution, read, written
from command_service.queue.settling import Ended

PRODUCT = "0190a5f0-7c3e-7b1a-9d2e-3f4a5b6c7d8e"
READER = command_reader()


@dataclass
class Message:
    """As much of a delivered message as is read."""

    body: bytes
    message_id: str | None = None


@dataclass
class Kept:
    """What was settled, and what was put among the dead letters; `taken` are ids of other commands."""

    ended: list[Ended] = field(default_factory=list)
    dead: list[tuple[Any, str]] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)

    async def end(self, command: Ended) -> bool:
        self.ended.append(command)
        return command.command_id not in self.taken

    async def dead_letter(self, body: bytes, reason: str) -> None:
        self.dead.append((body, reason))


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executing, "LONGEST_PAUSE", 0.0)


def execution(kept: Kept, *answers: Any) -> tuple[Execution, list[str]]:
    """Answers the commands that are sent with `answers`, one after the other, and then with success."""
    waiting, sent = list(answers), []

    async def execute(envelope: CommandEnvelope) -> Outcome:
        sent.append(envelope.command_id)
        answer = waiting.pop(0) if waiting else Outcome("succeeded")
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, Outcome)
        return answer

    return Execution(Mediator([], execute), kept, kept), sent  # type: ignore[arg-type]


def add(key: str) -> dict[str, Any]:
    return {"id": key, "type": "AddToInventory", "data": {"product_id": PRODUCT, "quantity": 1}}


def commands(*keys: str) -> Sequence[CommandEnvelope]:
    return read(Message(orjson.dumps([add(key) for key in keys])), READER).commands  # type: ignore[arg-type]


def reading(body: bytes, message_id: str | None = None) -> tuple[list[str], list[str]]:
    """The ids of the commands, and the places of the first fault of what is none."""
    found = read(Message(body, message_id), READER)  # type: ignore[arg-type]
    return [one.command_id for one in found.commands], [refusal.faults[0]["pointer"] for _, refusal in found.refused]


def test_a_message_is_one_command_or_several_and_each_that_is_none_is_refused_alone() -> None:
    assert reading(orjson.dumps(add("a"))) == (["a"], [])
    mixed = [add("a"), 5, {**add("b"), "data": {}}, add("c"), {**add("d"), "id": None}]
    assert reading(orjson.dumps(mixed)) == (["a", "c"], ["#", "#/data/product_id", "#/id"])


def test_only_a_single_command_has_the_id_of_its_message() -> None:
    without = {key: value for key, value in add("").items() if key != "id"}
    assert reading(orjson.dumps(without), "message") == (["message"], [])
    assert reading(orjson.dumps([without]), "message") == ([], ["#/id"])


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff", b"[]", b'{"a": NaN}', b'{"a":1,"a":2}', b"[" * 1000, orjson.dumps([{}] * 1001), b'"\\ud800"'],
    ids=lambda body: str(body[:10]),
)
async def test_a_message_that_can_not_be_read_at_all_is_kept_as_it_is(body: bytes) -> None:
    kept = Kept()
    [(document, refusal)] = read(Message(body), READER).refused  # type: ignore[arg-type]
    assert document is None
    await execution(kept)[0].refuse(document, refusal, body)
    assert [dead for dead, _ in kept.dead] == [body]
    assert kept.ended == []


@pytest.mark.parametrize(
    ("member", "said_type"),
    [
        (b'{"id":"x","type":"ChangePrice","data":{"price":99999999999999999999999999}}', "ChangePrice"),
        (b'{"id":"x","type":"ChangePrice","data":{"price":1.5}}', "ChangePrice"),
        (b'{"id":"x","type":"a\\u0000b","data":{}}', ""),
        (b'{"id":"x","type":{"a":1}}', ""),
        (b'{"id":"x","type":"' + b"T" * 5000 + b'"}', "T" * 100),
        (b'{"id":"x"}', ""),
        (b'{"id":"x","a\\u0000/~b":1}', ""),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_what_is_no_command_ends_rejected_in_its_receipt_whatever_it_holds(member: bytes, said_type: str) -> None:
    kept = Kept()
    [(document, refusal)] = read(Message(member), READER).refused  # type: ignore[arg-type]
    for _ in range(2):
        await execution(kept)[0].refuse(document, refusal, written(document))
    first, again = kept.ended
    assert first.fingerprint == again.fingerprint
    assert (first.command_id, first.type, first.outcome.status) == ("x", said_type, "rejected")
    assert first.outcome.problem is not None
    assert first.outcome.problem["type"] == "/problems/invalid-input"
    assert "\x00" not in first.outcome.to_json()
    assert kept.dead == []


@pytest.mark.parametrize("given_id", ["", "a b", "x" * 129, "é", 5, None, ["x"]])
async def test_what_is_no_command_and_has_no_id_is_kept_with_the_reason(given_id: Any) -> None:
    kept = Kept()
    body = orjson.dumps({"id": given_id, "type": "Nothing", "data": {}})
    [(document, refusal)] = read(Message(body), READER).refused  # type: ignore[arg-type]
    await execution(kept)[0].refuse(document, refusal, body)
    [(dead, reason)] = kept.dead
    assert dead == body
    assert reason.startswith(("#/id: ", "#/type: "))
    assert kept.ended == []


async def test_what_is_no_command_and_bears_the_id_of_another_is_kept() -> None:
    kept = Kept(taken={"x"})
    [(document, refusal)] = read(Message(b'{"id":"x"}'), READER).refused  # type: ignore[arg-type]
    await execution(kept)[0].refuse(document, refusal, b"body")
    assert [dead for dead, _ in kept.dead] == [b"body"]


async def test_a_fault_of_ours_is_tried_again_and_then_set_aside_with_its_message() -> None:
    kept = Kept()
    doing, sent = execution(kept, *[ExecutionFailed()] * ATTEMPTS)
    await doing.execute(commands("a"))
    assert sent == ["a"] * ATTEMPTS
    [ended] = kept.ended
    assert (ended.command_id, ended.outcome.status) == ("a", "failed")
    assert ended.message is not None
    assert READER.read_message(orjson.loads(ended.message), None, ended.submitted_at).fingerprint == ended.fingerprint


async def test_a_fault_that_passes_leaves_nothing_behind() -> None:
    kept = Kept()
    doing, sent = execution(kept, *[ExecutionFailed()] * (ATTEMPTS - 1))
    await doing.execute(commands("a"))
    assert sent == ["a"] * ATTEMPTS
    assert (kept.ended, kept.dead) == ([], [])


async def test_while_postgres_is_away_no_attempt_counts() -> None:
    kept = Kept()
    away, fault = [Unavailable()] * 20, ExecutionFailed()
    doing, sent = execution(kept, *away, fault, *away, fault)
    await doing.execute(commands("a"))
    assert len(sent) == 43
    assert kept.ended == []


async def test_what_was_refused_because_postgres_is_away_is_sent_again_in_its_order() -> None:
    doing, sent = execution(Kept(), Outcome("succeeded"), *[Unavailable()] * 6)
    await doing.execute(commands("a", "b", "c"))
    assert sent == ["a", "b", "c", "b", "c", "b", "c", "b", "c"]


async def test_an_id_that_was_used_for_something_else_is_kept_with_the_reason() -> None:
    kept = Kept()
    doing, _ = execution(kept, KeyReused(), ExecutionFailed(), KeyReused())
    await doing.execute(commands("a", "b"))
    assert [(orjson.loads(body)["id"], "another content" in reason) for body, reason in kept.dead] == [
        ("a", True),
        ("b", True),
    ]
    assert kept.ended == []
