"""What a process needs for a command or a read, beyond what it needs at rest."""

import os
from collections import Counter
from typing import Any

import pytest
from rich.console import Console

from benchmarks.figures import Grid, Line, Result, figure, times
from benchmarks.process_tree import used_by
from benchmarks.report import grid, markdown, table, to_json
from benchmarks.rows.cost import MIB, commands_about, need, needs_of_commands, needs_of_reads, reads, said
from benchmarks.tapped import Counts


def phase(cpu: float, seconds: float, count: int = 0) -> list[dict[str, Any]]:
    return [{"use": {"api": {"cpu": cpu, "resident": 100 * MIB}}, "seconds": seconds, "count": count}]


def test_processor_time_of_a_command_is_what_is_used_beyond_rest() -> None:
    seen = {
        "at rest": phase(0.1, 10.0),
        "commands": phase(2.2, 20.0, count=2000),
        "reads": phase(0.1, 10.0, count=10_000),
        "both": phase(3.0, 10.0),
    }
    row = need("api", seen)
    assert row["MiB at rest"] == row["MiB under load"] == 100
    assert row["of a core at rest"] == pytest.approx(0.01)
    assert row["of a core under load"] == pytest.approx(0.3)
    assert row["ms a command"] == pytest.approx(1.0)
    assert row["ms a read"] == pytest.approx(0.0)


def test_round_trips_of_a_command_are_those_beyond_rest() -> None:
    trips, gets = ("relay", "Postgres", "round trips"), ("query", "Redis", "round trips")
    counted = {
        "rest": Counts(Counter({trips: 20}), seconds=10.0, count=0, events=0),
        "commands": Counts(Counter({trips: 240}), seconds=20.0, count=100, events=200),
        "reads": Counts(Counter({trips: 20, gets: 50}), seconds=10.0, count=1000, events=0),
    }
    [row] = needs_of_commands(counted)
    assert (row["process"], row["a command"], row["an event"]) == ("relay", 2.0, 1.0)
    [row] = needs_of_reads(counted)
    assert (row["process"], row["a read"]) == ("query", 0.05)


def test_the_load_is_of_every_kind() -> None:
    assert len({path.split("/")[1] + path.rpartition("/")[2] for _, path, _ in commands_about(1, "x")}) == 4
    paths = [path for _, path, _ in reads(1000)]
    assert sum("search=" in path for path in paths) == sum("sort=price" in path for path in paths) == len(paths) / 10


def test_a_process_is_seen_with_its_memory_and_its_processor_time() -> None:
    use = used_by(os.getpid())
    assert use.resident > MIB
    assert use.cpu > 0


@pytest.mark.parametrize(
    ("value", "text"), [(1234.5, "1,234"), (12.34, "12.3"), (0.1234, "0.123"), (None, ""), ("api", "api")]
)
def test_a_cell_is_as_exact_as_it_is_small(value: float | str | None, text: str) -> None:
    assert said(value) == text


def test_a_rows_own_table_is_shown_kept_and_written_for_the_readme() -> None:
    result = Result(grids=[Grid("Memory", ("process", "MiB"), [["api", "90.1"], ["relay", ""]])])
    console = Console(width=80)
    with console.capture() as captured:
        console.print(grid(result.grids[0]))
    assert "api" in captured.get()
    assert to_json(result)["grids"][0]["rows"] == [["api", "90.1"], ["relay", ""]]
    assert (
        markdown({"rows": {"cost": to_json(result)}})
        == "Memory:\n\n| process | MiB |\n| --- | --- |\n| api | 90.1 |\n| relay |  |\n"
    )


def test_a_row_without_lines_has_no_section_of_the_table() -> None:
    line = Line("fast", figure("/s", [500.0]), "CRUD", figure("/s", [100.0]), times(4))
    both = {"Reading": Result([line]), "Cost": Result()}
    assert [*table(both).columns[0].cells] == [*table({"Reading": Result([line])}).columns[0].cells]
    rows = {title: to_json(result) for title, result in both.items()}
    assert markdown({"rows": rows}).splitlines()[2] == "| fast | 500/s | CRUD: 100/s | 5.00 | ≥ 4× | reached |"
