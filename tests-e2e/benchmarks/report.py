"""The figures as a table, and as JSON."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from benchmarks.figures import FALLS_SHORT, Line, Result

COLUMNS = ("What", "Stockroom", "beside it", "ratio", "to reach", "verdict")


def table(results: Mapping[str, Result]) -> Table:
    """A section for each row, in the order in which they were measured."""
    made = Table(*COLUMNS)
    for title, result in results.items():
        made.add_section()
        made.add_row(Text(title, style="bold"))
        for line in result.lines:
            made.add_row(*cells(line))
    return made


def cells(line: Line) -> list[Text]:
    beside = f"{line.beside}: {line.theirs}" if line.theirs is not None else line.beside
    ratio = "" if line.ratio is None else f"{line.ratio:.2f}" if line.ratio < 10 else f"{line.ratio:.1f}"
    style = "red" if line.verdict == FALLS_SHORT else "green"
    reach = line.reach.text if line.reach is not None else ""
    return [
        Text(f"  {line.what}"),
        Text(str(line.ours)),
        Text(beside),
        Text(ratio),
        Text(reach),
        Text(line.verdict, style=style),
    ]


def to_json(result: Result) -> dict[str, Any]:
    return {
        "lines": [line.to_json() for line in result.lines],
        "notes": result.notes,
        "details": result.details,
    }


def circumstances(document: Mapping[str, Any]) -> str:
    """On what the figures stand, in a sentence."""
    machine, servers, settings = document["machine"], document["servers"], document["settings"]
    parts = [
        f"{machine['cores']} cores ({machine['processor']})",
        f"{machine['memory_gib']:g} GiB",
        f"Python {machine['python']}",
        f"PostgreSQL {servers['postgres']['version']}",
        f"RabbitMQ {servers['rabbitmq']['version']}",
        f"Redis {servers['redis']['version']}",
        "durability on",
        f"{settings['rounds']} round(s)",
        f"loads of {settings['seconds']:g} s after {settings['warm_seconds']:g} s",
        f"{settings['connections']} connections",
        f"{settings['apis']} API process(es) on either side",
        f"scale {settings['scale']:g}",
    ]
    return ", ".join(parts)


def write(file: Path, document: Mapping[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(document, indent=1) + "\n")
