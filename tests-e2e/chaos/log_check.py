"""The log by itself, and against what the clients were answered. None of our code decides here."""

from collections import Counter, defaultdict
from collections.abc import Iterable

from chaos import rules
from chaos.log import Log, Logged
from chaos.matrix import AFTERWARDS, Kind, Matrix
from chaos.record import Record, Sent


def unsettled(log: Log) -> str | None:
    """What is still on its way; None once there is nothing more to come."""
    waiting = [i for i, receipt in log.receipts.items() if receipt.status == "accepted"]
    if waiting:
        return f"{len(waiting)} commands are accepted and not executed, such as {waiting[0]}"
    if log.outbox:
        return f"{log.outbox} rows are in the outbox"
    missing = rules.alerts_due(log.events) - rules.alerts(log.events)
    if missing:
        return f"{sum(missing.values())} stock alerts are missing, such as {next(iter(missing))}"
    unpaid = rules.unpaid(log.events)
    return f"{len(unpaid)} orders were never paid and have not expired, such as {unpaid[0]}" if unpaid else None


def check(log: Log, record: Record, foreign: frozenset[str]) -> None:
    """Tells the matrix of everything that must never be. `foreign` are streams that no command wrote."""
    matrix = record.matrix
    events = [event for event in log.events if event.stream not in foreign]
    _check_streams(log.events, matrix)
    by_command: defaultdict[str, list[Logged]] = defaultdict(list)
    for event in events:
        by_command[event.command].append(event)
    for command, its in by_command.items():
        _check_commit(command, its, log, record)
    for sent in record.sent.values():
        _check_answered(sent, by_command.get(sent.id, []), log, matrix)
    for command, receipt in log.receipts.items():
        if receipt.status not in ("succeeded", "rejected"):
            matrix.find("failed", f"{receipt.type} {command} is {receipt.status} for ever", record.during(command))
    rules.check(events, record)
    doubled = rules.alerts(events) - rules.alerts_due(events)
    for alert in doubled:
        matrix.find("doubled", f"an alert that was not due: {alert}", AFTERWARDS)


def _check_streams(events: Iterable[Logged], matrix: Matrix) -> None:
    versions: dict[str, int] = {}
    for event in events:
        if event.version != versions.get(event.stream, 0) + 1:
            kind: Kind = "doubled" if event.version <= versions.get(event.stream, 0) else "lost"
            matrix.find(kind, f"{event.stream} has version {event.version} at the wrong place", AFTERWARDS)
        versions[event.stream] = event.version


def _check_commit(command: str, its: list[Logged], log: Log, record: Record) -> None:
    """A command's events: each once, in one transaction, together with the receipt."""
    matrix, during = record.matrix, record.during(command)
    if len({event.stream for event in its}) != len(its):
        matrix.find("doubled", f"{command} has several events in one stream: {its}", during)
    receipt = log.receipts.get(command)
    if receipt is None or receipt.status != "succeeded":
        matrix.find("lost", f"{command} has events, but its receipt is {receipt}", during)
    elif {event.transaction for event in its} != {receipt.transaction}:
        matrix.find("lost", f"{command} was not committed as one: {its}, {receipt}", during)
    placed = next((event for event in its if event.type == "OrderPlaced"), None)
    if placed is not None:
        ordered: Counter[str] = Counter()
        for line in placed.data["lines"]:
            ordered[line["product_id"]] += line["quantity"]
        reserved = Counter({e.key: e.data["quantity"] for e in its if e.type == "StockReserved"})
        if ordered != reserved:
            matrix.find("lost", f"{placed.stream} ordered {ordered} and reserved {reserved}", during)


def _check_answered(sent: Sent, its: list[Logged], log: Log, matrix: Matrix) -> None:
    """What a client was told is what the receipt and the log say."""
    receipt = log.receipts.get(sent.id)
    if receipt is None:
        return matrix.find("lost", f"{sent.type} {sent.id} was answered and has no receipt", sent.during)
    problem = (receipt.outcome.get("problem") or {}).get("type", "").rpartition("/")[2] or None
    if (receipt.status == "succeeded", problem) != (sent.is_ok, sent.problem):
        matrix.find("lost", f"{sent} was answered, its receipt says {receipt}", sent.during)
    if sent.is_ok and (receipt.outcome["token"] or None) != sent.token:
        matrix.find("lost", f"{sent} was answered with another token than {receipt}", sent.during)
    types = Counter(event.type for event in its)
    if not sent.is_ok or sent.event == "":
        if types:
            matrix.find("doubled", f"{sent} must have changed nothing, and has {its}", sent.during)
    elif sent.event is not None and types[sent.event] != 1:
        matrix.find("lost" if not types else "doubled", f"{sent} has {its}", sent.during)
    return None
