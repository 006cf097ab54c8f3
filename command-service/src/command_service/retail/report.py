"""What became of the file: the totals, the reconciliation, and the file of what is not in the shop."""

import csv
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rich.console import Console

from command_service.api_client import ImportRefused
from command_service.retail.left_out import LeftOut, Rule
from command_service.retail.lines import File
from command_service.retail.plan import Command, Plan
from command_service.retail.sending import NotDone
from contracts.money import from_ticks

SHOWN: Final = 20
"""Refused commands that the report names; the file names all."""

_COLUMNS: Final = ("line", "invoice", "code", "amount", "rule", "reason")


@dataclass(frozen=True, slots=True)
class Totals:
    """What the shop has of the file once all has ended; amounts in 1/10000."""

    orders: int = 0
    units: int = 0
    revenue: int = 0
    returned_units: int = 0
    refunds: int = 0
    found_units: int = 0
    written_off_units: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """One barrier, as it went."""

    name: str
    commands: int
    seconds: float
    not_done: tuple[NotDone, ...] = ()


@dataclass(frozen=True, slots=True)
class Imported:
    """The outcome: all that the rules want is in the shop if `not_done` is empty."""

    totals: Totals
    steps: tuple[Step, ...]
    left_out: tuple[LeftOut, ...]
    """By the rules, and the lines of commands that were refused."""
    difference: int = field(default=0)
    """By how much the file's total is another than what was imported and left out: 0."""

    @property
    def not_done(self) -> tuple[NotDone, ...]:
        return tuple(one for step in self.steps for one in step.not_done)


def imported(file: File, plan: Plan, steps: Iterable[Step]) -> Imported:
    steps = tuple(steps)
    not_done = [one for step in steps for one in step.not_done]
    refused = {one.command.id for one in not_done}
    totals = totals_of(
        command for barrier in plan.barriers for command in barrier.commands if command.id not in refused
    )
    left_out = (
        *plan.left_out,
        *(
            LeftOut(c.line, c.invoice, c.code, c.amount, Rule.NOT_DONE, f"{c.type}, {one.why}")
            for one in not_done
            for c in (one.command,)
        ),
    )
    in_file = sum(line.amount for line in file.lines)
    accounted = totals.revenue - totals.refunds + sum(left.amount for left in left_out) - plan.rounding
    return Imported(totals, steps, left_out, in_file - accounted)


def totals_of(commands: Iterable[Command]) -> Totals:
    units: Counter[str] = Counter()
    amount: Counter[str] = Counter()
    number: Counter[str] = Counter()
    for command in commands:
        of = command.type if command.units >= 0 else f"-{command.type}"
        number[of] += 1
        units[of] += command.units
        amount[of] += command.amount
    return Totals(
        orders=number["ConfirmPayment"],
        units=units["ConfirmPayment"],
        revenue=amount["ConfirmPayment"],
        returned_units=units["ReturnItems"],
        refunds=-amount["ReturnItems"],
        found_units=units["UpdateStockFromInventoryRecount"],
        written_off_units=-units["-UpdateStockFromInventoryRecount"],
    )


def write_left_out(file: Path, left_out: Iterable[LeftOut]) -> None:
    """One line of CSV for each, in the order of the imported file.

    Raises:
        ImportRefused: the file can't be written.
    """
    try:
        with file.open("w", newline="", encoding="utf-8") as text:
            writer = csv.writer(text)
            writer.writerow(_COLUMNS)
            for left in sorted(left_out, key=lambda left: left.line):
                writer.writerow((left.line, left.invoice, left.code, from_ticks(left.amount), left.rule, left.why))
    except OSError as error:
        raise ImportRefused(
            f"{file}, for the lines that are left out, can't be written: {error.strerror}. Name another with --refused."
        ) from None


def print_report(console: Console, file: File, plan: Plan, outcome: Imported) -> None:
    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    say("Commands")
    for step in outcome.steps:
        rate = f"{step.commands / step.seconds:,.0f}/s" if step.seconds else ""
        refused = f", {len(step.not_done):,} not done" if step.not_done else ""
        say(f"  {step.name:<50}{step.commands:>9,} in {step.seconds:,.1f} s {rate}{refused}")
    say("Decided by the rules")
    for what, number in plan.decisions.items():
        say(f"  {what:<50}{number:>9,}")
    _say_lines(say, file, plan)
    _say_amounts(say, file, plan, outcome)
    totals = outcome.totals
    say("In the shop")
    say(f"  {totals.orders:,} orders, {totals.units:,} units, revenue {_money(totals.revenue)}")
    say(f"  {totals.returned_units:,} units returned, refunds {_money(totals.refunds)}")
    say(f"  {totals.written_off_units:,} units written off, {totals.found_units:,} found")
    for one in outcome.not_done[:SHOWN]:
        command = one.command
        say(f"  line {command.line}, {command.type} {command.invoice or command.code}: {one.why}")
    if len(outcome.not_done) > SHOWN:
        say(f"  … and {len(outcome.not_done) - SHOWN:,} more commands that were not done.")


def _say_lines(say: Callable[[str], None], file: File, plan: Plan) -> None:
    rows = {**plan.imported_lines, **Counter(sorted(map(_kind, plan.left_out)))}
    say("Lines")
    for what, number in rows.items():
        say(f"  {what:<50}{number:>9,}")
    say(f"  {'all':<50}{sum(rows.values()):>9,} of {len(file.lines) + len(file.unreadable):,} in the file")


def _say_amounts(say: Callable[[str], None], file: File, plan: Plan, outcome: Imported) -> None:
    amounts: Counter[str] = Counter()
    for left in outcome.left_out:
        amounts[_kind(left)] += left.amount
    rows = {
        "revenue of the orders": outcome.totals.revenue,
        "refunds of the returns": -outcome.totals.refunds,
        **{kind: amount for kind, amount in sorted(amounts.items()) if amount},
        **({"rounding of totals and refunds": -plan.rounding} if plan.rounding else {}),
    }
    say("Amounts")
    for what, amount in rows.items():
        say(f"  {what:<50}{_money(amount):>16}")
    total = sum(line.amount for line in file.lines)
    agrees = f"differs by {_money(outcome.difference)}" if outcome.difference else "the file's total to the penny"
    say(f"  {'all':<50}{_money(sum(rows.values())):>16} of {_money(total)}: {agrees}")


def _kind(left: LeftOut) -> str:
    """The rule; of fees also which."""
    return f"{left.rule}: {left.why.partition(': ')[2]}" if left.rule is Rule.FEE else left.rule.value


def _money(ticks: int) -> str:
    whole, _, fraction = from_ticks(ticks).partition(".")
    return f"{int(whole):,}.{fraction}" if not whole.startswith("-0") else from_ticks(ticks)
