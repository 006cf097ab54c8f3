"""The import from its file to its report."""

from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, Final

import httpx
from rich.console import Console

from command_service.api_client import NotStockroom, problem_of, refusing, send
from command_service.retail.lines import read_file
from command_service.retail.plan import plan_import
from command_service.retail.progress import bars
from command_service.retail.report import Imported, Step, imported, print_report, write_left_out
from command_service.retail.sending import WAIT_SECONDS, Sending
from contracts.money import minor_unit

CURRENCY: Final = "GBP"
"""What the data set's prices are in."""


async def import_retail(file: Path, url: str, refused: Path | None = None, console: Console | None = None) -> Imported:
    """Brings the file into the shop at `url`, prints a report, and writes to `refused` what is not there and why.

    `refused` is `<file>.refused.csv` unless named.

    Raises:
        ImportRefused: the file can't be read, the service can't be reached or executes nothing, or `refused` can't be
            written.
    """
    console = console or Console(stderr=True)
    refused = refused or file.with_name(f"{file.name}.refused.csv")
    with refusing(url):
        async with httpx.AsyncClient(timeout=WAIT_SECONDS + 30) as client:
            content = read_file(file)
            currency = await _currency(client, url)
            if currency != CURRENCY:
                console.print(
                    f"The shop's currency is {currency}; the file's prices are {CURRENCY} and are taken as they are.",
                    style="yellow",
                    soft_wrap=True,
                )
            plan = plan_import(content, minor_unit(currency))
            # Now, not after an hour: that it can't be written shows before anything is sent.
            write_left_out(refused, plan.left_out)
            sending = Sending(client, url)
            steps = []
            with bars(console) as progress:
                tasks = [progress.add_task(b.name, total=len(b.commands), start=False) for b in plan.barriers]
                for barrier, task in zip(plan.barriers, tasks, strict=True):
                    progress.start_task(task)
                    begun = monotonic()
                    not_done = await sending.run(barrier.commands, partial(progress.advance, task))
                    steps.append(Step(barrier.name, len(barrier.commands), monotonic() - begun, tuple(not_done)))
    outcome = imported(content, plan, steps)
    write_left_out(refused, outcome.left_out)
    print_report(console, content, plan, outcome)
    console.print(f"What is not in the shop, line by line: {refused}", markup=False, highlight=False, soft_wrap=True)
    return outcome


async def _currency(client: httpx.AsyncClient, url: str) -> str:
    response = await send(client, "GET", f"{url.rstrip('/')}/system")
    if response.status_code != 200:
        raise NotStockroom(f"GET /system: {problem_of(response)['title']}")
    try:
        system: dict[str, Any] = response.json()
        return str(system["currency"])
    except (ValueError, KeyError, TypeError):
        raise NotStockroom("GET /system does not name a currency") from None
