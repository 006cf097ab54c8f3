"""Draws the figures of a run: ``python -m benchmarks.plots FOLDER``, in the peers' environment, which has matplotlib.

A plot whose rows were not measured is not drawn, and an older one of it is removed.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib

matplotlib.use("svg")

from matplotlib import pyplot

OURS = "#1b7f5c"
THEIRS = "#b8bec7"
REACH = "#c0392b"

Document = dict[str, Any]


def throughput(document: Document) -> bool:
    """Every rate beside its peer's, in units of the peer's: bars that end at what the peer does would end at 1."""
    lines = [
        (f"{line['what']}\nbeside {line['beside']}", line["ratio"], least(line["reach"]), line["ours"], line["theirs"])
        for row in document["rows"].values()
        for line in row.get("lines", [])
        if line["theirs"] and line["reach"] and line["ours"]["unit"] == "/s"
    ]
    if not lines:
        return False
    _, axes = pyplot.subplots(figsize=(9, 0.62 * len(lines) + 1))
    for place, (_, ratio, reach, ours, theirs) in enumerate(lines):
        axes.barh(place, ratio, color=OURS, height=0.6, zorder=2)
        if reach is not None:
            axes.plot([reach, reach], [place - 0.42, place + 0.42], color=REACH, linewidth=2, zorder=3)
        said = f"  {ours['median']:,.0f}/s beside {theirs['median']:,.0f}/s"
        axes.text(max(ratio, reach or 0), place, said, va="center", fontsize=8)
    axes.set_xscale("log")
    axes.set_xlim(0.05, 3 * max(max(ratio, reach or 0) for _, ratio, reach, _, _ in lines))
    axes.axvline(1, color=THEIRS, zorder=1)
    axes.xaxis.set_major_formatter("{x:g}×")
    axes.set_yticks(range(len(lines)), [what for what, *_ in lines], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("times the rate of what stands beside it (red: to reach)")
    bare(axes)
    return True


def least(reach: str) -> float | None:
    """The number in a text such as ``≥ 4×`` or ``≥ 60% of it``."""
    if not reach.startswith("≥ "):
        return None
    number = reach[2:].split()[0]
    return float(number[:-1]) / 100 if number.endswith("%") else float(number.rstrip("×"))


def readable(document: Document) -> bool:
    """From the commit to its being readable: which share took how long."""
    sides = document["rows"].get("readable", {}).get("details")
    if not sides:
        return False
    _, axes = pyplot.subplots(figsize=(8, 4))
    for side, colour in (("Stockroom", OURS), ("eventsourcing", THEIRS)):
        rounds = [each["readable"] for each in sides[side]]
        shares = [share for share in sorted(map(float, rounds[0])) if share < 1]
        middle = [median(each[str(share)] for each in rounds) * 1e3 for share in shares]
        # The tail gets as much room as the rest: equal steps are 90 %, 99 %, 99.9 % …
        axes.plot([1 / (1 - share) for share in shares], middle, color=colour, linewidth=2, label=side)
    axes.set_xscale("log")
    axes.set_yscale("log")
    marks = (0.5, 0.9, 0.99, 0.999, 0.9999)
    axes.set_xticks(
        [1 / (1 - mark) for mark in marks], [f"{mark:.2%}".rstrip("0%").rstrip(".") + " %" for mark in marks]
    )
    axes.minorticks_off()
    for share, most in ((0.5, 10), (0.99, 50)):
        axes.plot(1 / (1 - share), most, marker="v", color=REACH, markersize=9, linestyle="none")
    axes.plot([], [], marker="v", color=REACH, linestyle="none", label="to reach")
    axes.set_xlabel("share of all commands")
    axes.set_ylabel("201 → readable, ms")
    axes.legend(frameon=False)
    bare(axes)
    return True


def growth(document: Document) -> bool:
    """The 99th percentile of each kind of request as the shop grows."""
    sizes = document["rows"].get("growth", {}).get("details", {}).get("sizes")
    if not sizes or len(sizes) < 2:
        return False
    _, axes = pyplot.subplots(figsize=(8, 4))
    for kind in next(iter(sizes.values())):
        points = []
        for size, seen in sizes.items():
            points.append((int(size), median(one["latency"]["0.99"] for one in seen[kind]) * 1e3))
        axes.plot(*zip(*points, strict=True), marker="o", linewidth=2, label=kind)
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xticks([int(size) for size in sizes], [f"{int(size):,}" for size in sizes])
    axes.minorticks_off()
    axes.set_xlabel("products in the shop")
    axes.set_ylabel("p99, ms")
    axes.legend(frameon=False)
    bare(axes)
    return True


def bare(axes: Any) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


PLOTS: dict[str, Callable[[Document], bool]] = {"throughput": throughput, "readable": readable, "growth": growth}


def main(folder: Path) -> None:
    document = json.loads((folder / "figures.json").read_text())
    pyplot.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "stockroom", "font.family": "sans-serif"})
    for name, draw in PLOTS.items():
        file = folder / f"{name}.svg"
        if draw(document):
            pyplot.savefig(file, bbox_inches="tight", metadata={"Date": None})
        else:
            file.unlink(missing_ok=True)
        pyplot.close("all")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
