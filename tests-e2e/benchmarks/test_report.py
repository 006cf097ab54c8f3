"""The table."""

from rich.console import Console

from benchmarks.figures import Line, Result, figure, times
from benchmarks.report import table, to_json
from benchmarks.settings import Settings


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
