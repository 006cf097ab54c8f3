"""The figures as a table, as JSON, and as Markdown for the README."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from benchmarks.figures import FALLS_SHORT, Grid, Line, Result, figure

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
    what, *others, verdict = texts(line.to_json())
    style = "red" if verdict == FALLS_SHORT else "green"
    return [Text(f"  {what}"), *map(Text, others), Text(verdict, style=style)]


def texts(line: Mapping[str, Any]) -> list[str]:
    """What stands in the columns for a line, as JSON keeps it."""
    theirs, ratio = line["theirs"], line["ratio"]
    return [
        line["what"],
        _said(line["ours"]),
        f"{line['beside']}: {_said(theirs)}" if theirs else line["beside"],
        "" if ratio is None else f"{ratio:.2f}" if ratio < 10 else f"{ratio:.1f}",
        line["reach"] or "",
        line["verdict"] or "",
    ]


def _said(kept: Mapping[str, Any]) -> str:
    return str(figure(kept["unit"], kept["rounds"]))


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


def markdown(document: Mapping[str, Any]) -> str:
    """Everything as tables of the README."""
    rows = [row for row in document["rows"].values() if "failed" not in row]
    lines = [texts(line) for row in rows for line in row["lines"]]
    parts = [_markdown_table(COLUMNS, lines)] if lines else []
    for row in rows:
        parts += [f"{each['title']}:\n\n{_markdown_table(each['columns'], each['rows'])}" for each in row["grids"]]
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
    """On what the figures stand, in a sentence for each of the runs that they come from."""
    machine, servers = document["machine"], document["servers"]
    parts = [
        f"{machine['cores']} cores ({machine['processor']})",
        f"{machine['memory_gib']:g} GiB",
        f"Python {machine['python']}",
        f"PostgreSQL {servers['postgres']['version']}",
        f"RabbitMQ {servers['rabbitmq']['version']}",
        f"Redis {servers['redis']['version']}",
        "durability on",
    ]
    runs: dict[str, list[str]] = {}
    for name, row in document["rows"].items():
        runs.setdefault(f"{row['run']['began']}: {_settings(row['run']['settings'])}", []).append(name)
    return "\n\n".join([", ".join(parts), *(f"{', '.join(names)}: {run}" for run, names in runs.items())])


def _settings(settings: Mapping[str, Any]) -> str:
    parts = [
        f"{settings['rounds']} round(s)",
        f"loads of {settings['seconds']:g} s after {settings['warm_seconds']:g} s",
        f"{settings['connections']} connections",
        f"{settings['apis']} API process(es) on either side",
        f"growth to {settings['growth']:,}",
        f"scale {settings['scale']:g}",
    ]
    return ", ".join(parts)


SAME: Final = ("processor", "cores", "memory_gib", "python")
"""What tells a kind of machine."""


class OfAnotherMachine(Exception):
    """Rows of several kinds of machines say nothing beside each other."""


def renewed(kept: Mapping[str, Any], newer: Mapping[str, Any]) -> dict[str, Any]:
    """The figures that are kept, with newer rows in the place of theirs; each row says of which run it is.

    Raises:
        OfAnotherMachine: the two did not run on the same kind of machine, or not over the same servers.
    """
    if kept["servers"] != newer["servers"] or any(kept["machine"][each] != newer["machine"][each] for each in SAME):
        raise OfAnotherMachine("the figures that are kept are of another machine or other servers: measure all rows")
    rows = {**kept["rows"], **{name: row for name, row in newer["rows"].items() if "failed" not in row}}
    return {**newer, "rows": rows}


def write(folder: Path, document: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "figures.json").write_text(json.dumps(document, indent=1) + "\n")
    (folder / "figures.md").write_text(f"{circumstances(document)}\n\n{markdown(document)}")
