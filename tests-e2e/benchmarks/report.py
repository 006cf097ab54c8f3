"""The figures as a table, as JSON, and as Markdown for the README."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from benchmarks.figures import FALLS_SHORT, Grid, Line, Result

COLUMNS = ("What", "Stockroom", "beside it", "ratio", "to reach", "verdict")


def table(results: Mapping[str, Result]) -> Table:
    """A section for each row that has lines, in the order in which they were measured."""
    made = Table(*COLUMNS)
    for title, result in results.items():
        if not result.lines:
            continue
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


def grid(shown: Grid) -> Table:
    """A row's own table: what stands in its first columns are names, the rest figures."""
    made = Table(title=shown.title, title_justify="left")
    for number, column in enumerate(shown.columns):
        made.add_column(column, justify="right" if _is_figures(shown, number) else "left")
    for row in shown.rows:
        made.add_row(*map(Text, row))
    return made


def _is_figures(shown: Grid, column: int) -> bool:
    return all(not row[column] or row[column][0] in "-0123456789" for row in shown.rows)


def markdown(results: Mapping[str, Result]) -> str:
    """Everything as tables of the README."""
    lines = [[cell.plain.strip() for cell in cells(line)] for result in results.values() for line in result.lines]
    parts = [_markdown_table(COLUMNS, lines)] if lines else []
    for result in results.values():
        parts += [f"{each.title}:\n\n{_markdown_table(each.columns, each.rows)}" for each in result.grids]
    return "\n".join(parts)


def _markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    every = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(row)} |\n" for row in every)


def to_json(result: Result) -> dict[str, Any]:
    return {
        "lines": [line.to_json() for line in result.lines],
        "notes": result.notes,
        "details": result.details,
        "grids": [each.to_json() for each in result.grids],
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


def write(folder: Path, document: Mapping[str, Any], results: Mapping[str, Result]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "figures.json").write_text(json.dumps(document, indent=1) + "\n")
    (folder / "figures.md").write_text(f"{circumstances(document)}\n\n{markdown(results)}")
