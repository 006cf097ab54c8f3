"""``python -m benchmarks``: Stockroom beside what a user would pick instead, in one run on one machine.

Durability is on, on both sides. Every figure has its peer from the same run; a rate alone says nothing.
"""

import argparse
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from benchmarks import machine, peer_environment, report
from benchmarks.bench import Bench
from benchmarks.figures import Result
from benchmarks.progress import Progress
from benchmarks.rows import (
    commands,
    contention,
    cost,
    executor,
    growth,
    projector,
    queued,
    readable,
    reads,
    rebuild,
    relay,
)
from benchmarks.settings import CONNECTIONS, Settings
from stockroom_local.interruption import Interrupted, raised_on_signals
from stockroom_local.pytest_plugin import new_home
from stockroom_local.servers import Trio
from stockroom_local.servers.install import obtain
from stockroom_local.servers.trio import REQUIREMENTS

ROWS: Final[dict[str, tuple[str, Callable[[Bench], Result]]]] = {
    "commands": (commands.TITLE, commands.measure),
    "executor": (executor.TITLE, executor.measure),
    "queued": (queued.TITLE, queued.measure),
    "contention": (contention.TITLE, contention.measure),
    "relay": (relay.TITLE, relay.measure),
    "projector": (projector.TITLE, projector.measure),
    "readable": (readable.TITLE, readable.measure),
    "rebuild": (rebuild.TITLE, rebuild.measure),
    "product": (reads.ONE_TITLE, reads.measure_one),
    "lists": (reads.LISTS_TITLE, reads.measure_lists),
    "cost": (cost.TITLE, cost.measure),
    "growth": (growth.TITLE, growth.measure),
}

RESULTS: Final = Path(__file__).parent / "results"
"""Where the figures of a whole run stand; those of any other run go to the home folder."""

BUSY: Final = 0.1
"""A larger share of the machine at work before a row begins is told: it is not ours."""

PRODUCT_BYTES: Final = 400
PAGE: Final = 150
"""Columns of a table that goes to a file."""


def main() -> int:
    settings = read_settings()
    console = Console() if sys.stdout.isatty() else Console(width=PAGE)
    logging.getLogger("aiormq").setLevel(logging.CRITICAL)
    with raised_on_signals():
        try:
            return run(settings, console)
        except Interrupted:
            return 130
        except report.OfAnotherMachine as error:
            console.print(Text(str(error), style="red"))
            return 1


def read_settings() -> Settings:
    parser = argparse.ArgumentParser(prog="benchmarks", description="Measures Stockroom beside its peers.")
    parser.add_argument("--row", default="", help=f"rows, separated by commas: {', '.join(ROWS)}; all when empty")
    parser.add_argument("--rounds", type=int, default=3, help="how often each side has its turn")
    parser.add_argument("--scale", type=float, default=1.0, help="of all counts and times; small: does it work at all?")
    parser.add_argument("--growth", type=int, default=100_000, help="products at the end of the growth rows")
    parser.add_argument("--apis", type=int, default=1, help="API processes on either side")
    parser.add_argument("--renew", action="store_true", help="let these rows take the place of those in results/")
    given = parser.parse_args()
    rows = tuple(name.strip() for name in given.row.split(",") if name.strip())
    unknown = [name for name in rows if name not in ROWS]
    if unknown:
        parser.error(f"there is no row {', '.join(unknown)}; there are {', '.join(ROWS)}")
    try:
        return Settings(given.rounds, given.scale, given.growth, given.apis, rows, given.renew)
    except ValueError as error:
        parser.error(str(error))


def run(settings: Settings, console: Console) -> int:
    home = peer_environment.ROOT / (os.environ.get("STOCKROOM_HOME") or ".local") / "bench"
    home.mkdir(parents=True, exist_ok=True)
    with Progress(console, len(settings.rows or ROWS)) as progress:
        peers = peer_environment.make(home, progress.tell)
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stockroom-bench-")))
            progress.tell("starting the servers")
            trio = started(stack, progress.tell)
            document = circumstances(settings, trio, peers)
            if settings.renews:
                report.renewed(kept_figures(), document)  # refuses before anything is measured, not after an hour
            bench = Bench(settings, trio, peers, folder, progress.tell)
            document["client"] = ceiling(bench)
            own = f"{document['client']['rate']:,.0f} requests/s"
            progress.say(f"the load itself manages {own} against a server that does nothing")
            # What is measured is kept at once: a run of an hour may be interrupted.
            results = measure(bench, progress, document, lambda: report.write(home / "results", document))
    return finish(settings, console, home, peers, document, results)


def started(stack: ExitStack, tell: Callable[[str], None]) -> Trio:
    servers_home = new_home()
    stack.callback(shutil.rmtree, servers_home, ignore_errors=True)
    trio = Trio(servers_home, obtain(REQUIREMENTS, tell, throwaway=True))
    stack.callback(trio.discard)
    trio.start()
    return trio


def circumstances(settings: Settings, trio: Trio, peers: Path) -> dict[str, Any]:
    return {
        "began": datetime.now(UTC).isoformat(timespec="seconds"),
        "settings": {
            "rounds": settings.rounds,
            "scale": settings.scale,
            "growth": settings.growth,
            "apis": settings.apis,
            "connections": CONNECTIONS,
            "seconds": settings.seconds,
            "warm_seconds": settings.warm,
            "peer_seconds": settings.peer_seconds,
        },
        "machine": machine.machine(),
        "servers": machine.servers(trio),
        "packages": {"stockroom": machine.our_packages(), "peers": machine.packages_of(peers)},
        "rows": {},
    }


def ceiling(bench: Bench) -> dict[str, Any]:
    """What the load can do itself."""
    bench.tell("the load itself")
    with bench.responder(PRODUCT_BYTES) as url:
        return bench.closed_loop([url], [("GET", "/", None)], 200)


def measure(bench: Bench, progress: Progress, document: dict[str, Any], keep: Callable[[], None]) -> dict[str, Result]:
    """By title; `keep` is called whenever the document has more of a row. One that fails is told, others go on."""
    results: dict[str, Result] = {}
    for name in bench.settings.rows or ROWS:
        title, row = ROWS[name]
        progress.begin(title)
        bench.doubts.clear()
        load, busy = machine.load_average(), machine.busy()
        began = time.perf_counter()
        about = {"title": title, "run": run_of(document), "load_average": load, "busy_before": busy}

        def so_far(result: Result, name: str = name, about: Mapping[str, Any] = about) -> None:
            document["rows"][name] = {**about, **report.to_json(result)}
            keep()

        bench.keep = so_far
        try:
            result = row(bench)
        except Exception as error:
            progress.say(Text(f"{title} failed: {error}", style="red"))
            document["rows"][name] = {**document["rows"].get(name, about), "failed": traceback.format_exc()}
            keep()
            continue
        finally:
            progress.end()
        result.notes += sorted(bench.doubts)
        if busy > BUSY:
            result.notes.append(f"before it began, {busy:.0%} of the machine were at work on something else")
        results[title] = result
        about["seconds"] = time.perf_counter() - began
        so_far(result)
        if result.lines:
            progress.say(report.table({title: result}))
        for shown in result.grids:
            progress.say(report.grid(shown))
    return results


def kept_figures() -> dict[str, Any]:
    figures: dict[str, Any] = json.loads((RESULTS / "figures.json").read_text())
    return figures


def run_of(document: dict[str, Any]) -> dict[str, Any]:
    return {"began": document["began"], "settings": document["settings"]}


def finish(
    settings: Settings, console: Console, home: Path, peers: Path, document: dict[str, Any], results: dict[str, Result]
) -> int:
    if len(results) > 1:
        console.print(report.table(results))
    for title, result in results.items():
        for note in result.notes:
            console.print(Text(f"{title}: {note}"))
    complete = len(results) == len(settings.rows or ROWS)
    folder = home / "results"
    if settings.renews:
        document, folder = report.renewed(kept_figures(), document), RESULTS
    elif settings.is_whole and complete:
        folder = RESULTS
    console.print(Text(report.circumstances(document)))
    report.write(folder, document)
    draw = [str(peers), "-m", "benchmarks.plots", str(folder)]
    drawn = subprocess.run(draw, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])})
    console.print(Text(f"Figures and plots: {folder}"))
    return 0 if complete and drawn.returncode == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
