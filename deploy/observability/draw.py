# /// script
# requires-python = ">=3.11"
# dependencies = ["httpx>=0.28", "matplotlib>=3.9"]
# ///
"""Draws the dashboard without Grafana: its own queries, answered by a Prometheus, laid out as it lays them out.

    uv run deploy/observability/draw.py http://127.0.0.1:9090 pipeline.png --minutes 5

What it draws is the dashboard's data, not Grafana's picture of it.
"""

import argparse
import json
import math
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
from matplotlib import dates, ticker
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

DASHBOARD = Path(__file__).parent / "grafana" / "dashboards" / "pipeline.json"
STEP = 5
"""Seconds between two points."""
WIDTH, ROW = 18, 0.42
"""Inches: the picture, and one unit of the dashboard's grid."""
RATE_INTERVAL = "20s"
"""What Grafana would choose for a scrape every five seconds."""


@dataclass
class Line:
    """One series of a panel."""

    name: str
    moments: list[datetime]
    values: list[float]


@dataclass
class Source:
    """A Prometheus, and the time that is drawn, in seconds since 1970."""

    http: httpx.Client
    start: float
    end: float

    def lines(self, target: dict[str, Any]) -> Iterator[Line]:
        query = target["expr"].replace("$__rate_interval", RATE_INTERVAL)
        asked = {"query": query, "start": self.start, "end": self.end, "step": STEP}
        answer = self.http.post("/api/v1/query_range", data=asked).raise_for_status().json()
        for series in answer["data"]["result"]:
            pairs = [(datetime.fromtimestamp(at), float(value)) for at, value in series["values"]]
            name = re.sub(
                r"\{\{(\w+)\}\}", lambda label, of=series: of["metric"].get(label[1], ""), target["legendFormat"]
            )
            yield Line(name, [at for at, _ in pairs], [value for _, value in pairs])


def shown(value: float, unit: str) -> str:
    """A value as a person reads it."""
    if math.isnan(value):
        return "–"
    match unit:
        case "s" if abs(value) >= 60:
            return f"{value / 60:.3g} min"
        case "s" if abs(value) >= 1 or value == 0:
            return f"{value:.3g} s"
        case "s":
            return f"{value * 1000:.3g} ms"
        case "bytes":
            return f"{value / 2**20:.0f} MiB"
        case "cps" | "reqps" | "ops":
            return f"{shown(value, 'short')}/s"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def draw_stat(axes: Axes, panel: dict[str, Any], source: Source) -> None:
    axes.axis("off")
    defaults = panel["fieldConfig"]["defaults"]
    [target] = panel["targets"]
    last = next((line.values[-1] for line in source.lines(target)), math.nan)
    steps = [step for step in defaults["thresholds"]["steps"] if step["value"] is None or last >= step["value"]]
    colour = {"green": "tab:green", "red": "tab:red"}[steps[-1]["color"]]
    axes.text(0.5, 0.4, shown(last, defaults["unit"]), ha="center", va="center", fontsize=17, color=colour)
    axes.set_title(panel["title"], fontsize=9)


def draw_chart(axes: Axes, panel: dict[str, Any], source: Source) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    right = {rule["matcher"]["options"]: rule["properties"][0]["value"] for rule in panel["fieldConfig"]["overrides"]}
    lines = [line for target in panel["targets"] for line in source.lines(target)]
    colours = dict(zip((line.name for line in lines), plt.get_cmap("tab10").colors * 3, strict=False))
    if "stacking" in defaults["custom"]:
        _stack(axes, lines, colours)
    else:
        for line in (line for line in lines if line.name not in right):
            axes.plot(line.moments, line.values, label=line.name, color=colours[line.name], linewidth=1.1)
    _dress(axes, defaults["unit"])
    if right:
        other = axes.twinx()
        for line in (line for line in lines if line.name in right):
            axes.plot([], [], label=f"{line.name} →", color=colours[line.name], linestyle=":")
            other.plot(line.moments, line.values, color=colours[line.name], linewidth=1.1, linestyle=":")
        _dress(other, next(iter(right.values())))
        other.grid(visible=False)
    axes.set_xlim(datetime.fromtimestamp(source.start), datetime.fromtimestamp(source.end))
    axes.set_title(panel["title"], fontsize=9)
    if lines:
        axes.legend(fontsize=6, loc="upper left", ncols=2, framealpha=0.6)
    else:
        axes.text(0.5, 0.5, "none", transform=axes.transAxes, ha="center", color="grey")


def _stack(axes: Axes, lines: list[Line], colours: dict[str, Any]) -> None:
    moments = sorted({moment for line in lines for moment in line.moments})
    heights = []
    for line in lines:
        known = dict(zip(line.moments, line.values, strict=True))
        heights.append([known.get(moment, 0.0) for moment in moments])
    if moments:
        names = [line.name for line in lines]
        axes.stackplot(moments, heights, labels=names, colors=[colours[name] for name in names], alpha=0.75)


def _dress(axes: Axes, unit: str) -> None:
    highest = axes.dataLim.y1
    axes.set_ylim(0, highest * 1.35 if 0 < highest < math.inf else 1)  # the legend stands above
    axes.yaxis.set_major_formatter(lambda value, _: shown(value, unit))
    axes.xaxis.set_major_locator(ticker.MaxNLocator(5))
    axes.xaxis.set_major_formatter(dates.DateFormatter("%H:%M:%S"))
    axes.tick_params(labelsize=6)
    axes.grid(alpha=0.25)


def draw(dashboard: dict[str, Any], source: Source, title: str) -> Figure:
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in dashboard["panels"]) + 2
    figure = plt.figure(figsize=(WIDTH, rows * ROW))
    for panel in dashboard["panels"]:
        axes = figure.add_axes(_place(panel["gridPos"], rows))
        match panel["type"]:
            case "row":
                axes.axis("off")
                axes.text(-0.01, 0, panel["title"], fontsize=12, weight="bold")
            case "stat":
                draw_stat(axes, panel, source)
            case _:
                draw_chart(axes, panel, source)
    figure.text(0.02, 1 - 1 / rows, title, fontsize=11, va="center")
    return figure


def _place(at: dict[str, int], rows: int) -> tuple[float, float, float, float]:
    """A panel's left, bottom, width and height as shares of the figure, with room for its axes' labels."""
    bottom = rows - 2 - at["y"] - at["h"]
    return (at["x"] + 0.9) / 24, (bottom + 0.6) / rows, (at["w"] - 1.7) / 24, (at["h"] - min(1.7, at["h"] / 2)) / rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prometheus", help="its address")
    parser.add_argument("picture", type=Path, help="the file to write: .png or .svg")
    parser.add_argument("--minutes", type=float, default=5.0, help="how much of the past is drawn")
    parser.add_argument("--load", default="", help="what the system was under, for the title")
    asked = parser.parse_args()
    dashboard = json.loads(DASHBOARD.read_text())
    title = f"{dashboard['title']}: the dashboard's queries as Prometheus answered them, drawn by draw.py. {asked.load}"
    now = time.time()
    with httpx.Client(base_url=asked.prometheus, timeout=30) as http:
        figure = draw(dashboard, Source(http, now - asked.minutes * 60, now), title)
    figure.savefig(asked.picture, dpi=80)


if __name__ == "__main__":
    main()
