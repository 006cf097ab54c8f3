"""The table."""

import json
from pathlib import Path
from typing import Any, cast

import pytest
from rich.console import Console

from benchmarks import __main__
from benchmarks.bench import Bench
from benchmarks.figures import Grid, Line, Result, figure, times
from benchmarks.progress import Progress
from benchmarks.report import OfAnotherMachine, renewed, table, to_json, write
from benchmarks.settings import Settings
from stockroom_local.servers import Trio


def test_the_table_has_ratio_target_and_verdict_side_by_side() -> None:
    lines = [
        Line("fast", figure("/s", [500.0, 510.0]), "CRUD", figure("/s", [100.0]), times(4)),
        Line("slow", figure("/s", [300.0]), "CRUD", figure("/s", [100.0]), times(4)),
    ]
    console = Console(width=120, record=True, file=None, quiet=False)
    with console.capture() as captured:
        console.print(table({"Reading": Result(lines)}))
    fast, slow = (
        [cell.strip() for cell in line.split("│")[1:-1]]
        for line in captured.get().splitlines()
        if "fast" in line or "slow" in line
    )
    assert fast == ["fast", "505/s ±1%", "CRUD: 100/s", "5.05", "≥ 4×", "reached"]
    assert slow == ["slow", "300/s", "CRUD: 100/s", "3.00", "≥ 4×", "falls short"]


def test_json_keeps_every_round() -> None:
    kept = to_json(Result([Line("it", figure("ms", [3.0, 1.0, 2.0]))], ["a note"], {"raw": 1}))
    assert kept["lines"][0]["ours"] == {"unit": "ms", "median": 2.0, "spread": 0.5, "rounds": [3.0, 1.0, 2.0]}
    assert kept["lines"][0]["verdict"] is None
    assert kept["notes"] == ["a note"]


def document_of(began: str, rate: float, *names: str, processor: str = "Xeon") -> dict[str, Any]:
    run = {"began": began, "settings": {"rounds": 1, "seconds": 10, "warm_seconds": 3, "connections": 64}}
    run["settings"] |= {"apis": 1, "growth": 1000, "scale": 1}
    line = Line("fast", figure("/s", [rate]), "CRUD", figure("/s", [100.0]), times(4))
    grid = Grid("Costs", ("what", "ms"), [("api", f"{rate:g}")])
    row = {"title": "Row", "run": run, **to_json(Result([line], grids=[grid]))}
    servers = {name: {"version": "1"} for name in ("postgres", "rabbitmq", "redis")}
    machine = {"processor": processor, "cores": 2, "memory_gib": 24, "python": "3.11"}
    return {"machine": machine, "servers": servers, "rows": dict.fromkeys(names, row)}


def test_newer_rows_take_the_place_of_those_that_are_kept_and_say_of_which_run_they_are(tmp_path: Path) -> None:
    kept, newer = document_of("monday", 500.0, "one", "two"), document_of("tuesday", 900.0, "two")
    newer["rows"]["one"] = {"title": "Row", "run": newer["rows"]["two"]["run"], "failed": "it broke"}
    write(tmp_path, renewed(kept, newer))
    said = (tmp_path / "figures.md").read_text()
    assert "one: monday: 1 round(s)" in said
    assert "two: tuesday: 1 round(s)" in said
    assert said.count("| fast | 500/s | CRUD: 100/s | 5.00 | ≥ 4× | reached |") == 1
    assert said.count("| fast | 900/s | CRUD: 100/s | 9.00 | ≥ 4× | reached |") == 1
    assert said.count("| api | 900 |") == 1


def test_rows_of_two_machines_are_not_put_side_by_side() -> None:
    with pytest.raises(OfAnotherMachine):
        renewed(document_of("monday", 1.0, "one"), document_of("tuesday", 1.0, "one", processor="another"))


def test_what_a_long_row_had_found_is_kept_when_it_breaks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def long_row(bench: Bench) -> Result:
        bench.keep(Result([Line("at 1,000 products", figure("ms", [1.0]))]))
        raise ConnectionError("the shop is gone")

    monkeypatch.setitem(__main__.ROWS, "long", ("Long", long_row))
    bench = Bench(Settings(rows=("long",)), cast(Trio, None), tmp_path, tmp_path, print)
    document = {**document_of("monday", 1.0), "began": "monday", "settings": {}}
    kept: list[str] = []
    with Progress(Console(quiet=True), 1) as progress:
        __main__.measure(bench, progress, document, lambda: kept.append(json.dumps(document)))
    row = json.loads(kept[-1])["rows"]["long"]
    assert "the shop is gone" in row["failed"]
    assert [line["what"] for line in row["lines"]] == ["at 1,000 products"]


def test_a_smaller_scale_measures_less_but_never_nothing() -> None:
    small = Settings(scale=0.0001)
    assert small.seconds >= 1
    assert small.commands >= 1000
    assert small.backlog >= 2000
    assert Settings().commands == 100_000
    assert Settings().backlog == 200_000


def test_growth_goes_through_the_sizes_below_its_end() -> None:
    assert Settings(growth=1_000).sizes == [1_000]
    assert Settings().sizes == [1_000, 100_000]
    assert Settings(growth=1_000_000).sizes == [1_000, 100_000, 1_000_000]


def test_only_a_run_of_everything_in_full_stands_for_the_project() -> None:
    assert Settings().is_whole
    assert not Settings(scale=0.5).is_whole
    assert not Settings(rows=("relay",)).is_whole
