"""Draws the dashboard from a live Prometheus, with matplotlib: Grafana itself comes in no package of Debian or PyPI.

    uv run --with matplotlib python -m tests.grafana.draw [grafana/dashboard.png]

It starts a real group and a real Prometheus, kills the leader's nodeos, brings it back, hands over as an operator does,
and draws every panel from its own queries, at its own place, with its own colours. Nothing is tested here.
"""

from __future__ import annotations

import io
import math
import re
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from tests.grafana.live import Live, fail_over, live
from tests.grafana.panels import ANNOTATION, DASHBOARD, filled
from tests.lab.prometheus import Prometheus

TARGET = Path(__file__).parents[2] / "grafana" / "dashboard.png"
BEFORE_S, BETWEEN_S, AFTER_S = 40.0, 25.0, 30.0
CELL = (0.66, 0.31)
"""Inches of one cell of Grafana's grid of 24 columns."""
DPI = 85
TICK_S = 30
DAY = 86400
"""matplotlib counts days since 1970."""
COLOURS = {
    "green": "#56a64b",
    "light-green": "#96d98d",
    "yellow": "#f2cc0c",
    "orange": "#ff9830",
    "red": "#e02f44",
    "blue": "#3274d9",
    "purple": "#a352cc",
    "text": "#7b8087",
}
CYCLE = ["#73bf69", "#f2cc0c", "#5794f2", "#ff9830", "#f2495c", "#b877d9", "#37872d", "#8ab8ff", "#ffcb7d", "#c4162a"]
UNITS = {"s": " s", "reqps": " /s"}
Series = list[tuple[str, list[tuple[float, float]]]]


def named(series: dict[str, Any], legend: str) -> str:
    """Return a series' name as Grafana makes it from the legend's format."""
    return re.sub(r"{{(\w+)}}", lambda found: str(series["metric"].get(found[1], "")), legend).strip()


class Picture:
    """One picture of the whole dashboard, from `seconds` ago until now."""

    def __init__(self, prometheus: Prometheus, seconds: float) -> None:
        self._prometheus = prometheus
        self._span = seconds
        self._end = time.time()
        self._rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in DASHBOARD["panels"]) + 1
        self._figure = Figure(figsize=(24 * CELL[0], self._rows * CELL[1]), dpi=DPI, facecolor="#111217")
        self._marks = self._begins()

    def _query(self, expression: str) -> list[dict[str, Any]]:
        return self._prometheus.past(filled(expression, rate="10s"), self._span)

    def _begins(self) -> list[float]:
        """Return when the marks of the annotation begin."""
        times = sorted(float(at) for mark in self._query(ANNOTATION["expr"]) for at, _ in mark["values"])
        return [at for index, at in enumerate(times) if not index or at - times[index - 1] > 2]

    def _axes(self, panel: dict[str, Any]) -> Axes:
        place = panel["gridPos"]
        left, bottom = place["x"] / 24 + 0.004, 1 - (place["y"] + 1 + place["h"]) / self._rows
        width, height = place["w"] / 24 - 0.008, place["h"] / self._rows
        back = self._figure.add_axes((left, bottom + 0.0015, width, height - 0.003), facecolor="#181b1f")
        back.set(xticks=[], yticks=[])
        for edge in back.spines.values():
            edge.set_color("#2c3235")
        pad = 0.035 if panel["type"] == "timeseries" else 0.095 if panel["type"] == "state-timeline" else 0.0
        top = 1.05 / self._rows
        legend = 1.15 / self._rows if panel["type"] == "timeseries" else 0.35 / self._rows
        axes = self._figure.add_axes(
            (
                left + pad + 0.004,
                bottom + legend + 0.75 / self._rows,
                width - pad - 0.012,
                height - top - legend - 0.9 / self._rows,
            )
        )
        axes.set_facecolor("#181b1f")
        self._figure.text(
            left + 0.006,
            bottom + height - 0.5 / self._rows,
            panel["title"],
            color="#ccccdc",
            fontsize=9.5,
            va="center",
            weight="bold",
        )
        return axes

    def _say(self, x: float, y: float, text: str, **style: Any) -> None:
        self._figure.text(x, y, text, **{"color": "#ccccdc", "va": "center", **style})

    def draw(self, target: Path) -> None:
        """Draw every panel and write the picture."""
        kinds: dict[str, Callable[[Axes, dict[str, Any]], None]] = {
            "stat": self._stat, "timeseries": self._lines, "state-timeline": self._states,
        }  # fmt: skip
        title = f"{DASHBOARD['title']}   group: All   node: All   last {self._span:.0f} s"
        self._say(0.006, 1 - 0.5 / self._rows, title, fontsize=12)
        note = "drawn by matplotlib from this dashboard's own queries to a live Prometheus; not by Grafana"
        self._say(0.994, 1 - 0.5 / self._rows, note, color="#7b8087", fontsize=9, ha="right")
        for panel in DASHBOARD["panels"]:
            if panel["type"] == "row":
                y = 1 - (panel["gridPos"]["y"] + 1.5) / self._rows
                self._say(0.006, y, f"▾ {panel['title']}", fontsize=11)
            else:
                kinds[panel["type"]](self._axes(panel), panel)
        with io.BytesIO() as raw:
            self._figure.savefig(raw, format="png")
            Image.open(raw).quantize(48).save(target, optimize=True)

    def _series(self, panel: dict[str, Any]) -> Series:
        return [
            (named(each, target["legendFormat"]), [(float(at), float(value)) for at, value in each["values"]])
            for target in panel["targets"]
            for each in self._query(target["expr"])
        ]

    def _stat(self, axes: Axes, panel: dict[str, Any]) -> None:
        axes.axis("off")
        defaults, now = panel["fieldConfig"]["defaults"], []
        for target in panel["targets"]:
            for each in self._prometheus.now(filled(target["expr"])):
                now.append((named(each, target["legendFormat"]), float(each["value"][1])))
        name, value = now[0] if now else ("no data", math.nan)
        steps = [each for each in defaults["thresholds"]["steps"] if each["value"] is None or value >= each["value"]]
        colour = steps[-1]["color"]
        text = name if panel["options"]["textMode"] == "name" else f"{round(value, defaults.get('decimals', 3)):g}"
        for mapping in defaults["mappings"]:
            found = mapping["options"].get(f"{value:g}")
            text, colour = (found["text"], found["color"]) if found else (text, colour)
        place = panel["gridPos"]
        self._figure.text(
            (place["x"] + place["w"] / 2) / 24, 1 - (place["y"] + 1.2 + place["h"] / 2) / self._rows, text,
            color="white", fontsize=22 if len(text) < 8 else 12, ha="center", va="center", weight="bold",
            bbox={"boxstyle": "round,pad=0.5", "facecolor": COLOURS[colour], "edgecolor": "none"},
        )  # fmt: skip

    def _time(self, axes: Axes) -> None:
        axes.set_xlim((self._end - self._span) / DAY, self._end / DAY)
        first = math.ceil((self._end - self._span) / TICK_S) * TICK_S
        axes.set_xticks([at / DAY for at in range(first, round(self._end), TICK_S)])
        axes.xaxis.set_major_formatter(lambda day, _: time.strftime("%H:%M:%S", time.gmtime(round(day * DAY))))
        axes.tick_params(colors="#7b8087", labelsize=7, length=0)
        for edge in axes.spines.values():
            edge.set_visible(False)
        for mark in self._marks:
            axes.axvline(mark / DAY, color="#a352cc", linewidth=1, linestyle="--")

    def _lines(self, axes: Axes, panel: dict[str, Any]) -> None:
        defaults = panel["fieldConfig"]["defaults"]
        custom = defaults["custom"]
        fixed = {
            each["matcher"]["options"]: each["properties"][2]["value"]["fixedColor"]
            for each in panel["fieldConfig"]["overrides"]
        }
        stacked: dict[float, float] = {}
        for index, (name, points) in enumerate(self._series(panel)):
            times = [at / DAY for at, _ in points]
            values = [value for _, value in points]
            dashed = f"^{name}$" in fixed
            colour = COLOURS[fixed[f"^{name}$"]] if dashed else CYCLE[index % len(CYCLE)]
            if custom["drawStyle"] == "bars":
                below = [stacked.get(at, 0.0) for at, _ in points]
                stacked |= {at: stacked.get(at, 0.0) + (0 if math.isnan(value) else value) for at, value in points}
                axes.bar(times, values, bottom=below, width=1 / DAY, color=colour, label=name)
                continue
            marker = "o" if custom["showPoints"] == "always" else ""
            steps = "steps-post" if custom["lineInterpolation"] == "stepAfter" else "default"
            axes.plot(
                times,
                values,
                color=colour,
                label=name,
                marker=marker,
                drawstyle=steps,
                lw=1.3,
                ls="--" if dashed else "-",
            )
        if defaults.get("min") == 0:
            axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}{UNITS.get(defaults['unit'], '')}")
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.grid(color="#2c3235", linewidth=0.5)
        self._time(axes)
        if axes.get_legend_handles_labels()[1]:
            columns = max(1, round(panel["gridPos"]["w"] / 3))
            axes.legend(
                loc="upper left", bbox_to_anchor=(-0.06, -0.13), ncols=columns, fontsize=6.5, frameon=False,
                labelcolor="#ccccdc", borderaxespad=0.3, handlelength=1, columnspacing=1,
            )  # fmt: skip

    def _states(self, axes: Axes, panel: dict[str, Any]) -> None:
        words = panel["fieldConfig"]["defaults"]["mappings"][0]["options"]
        series = sorted(self._series(panel), reverse=True)
        for row, (_, points) in enumerate(series):
            start = 0
            for index in range(1, len(points) + 1):
                if index < len(points) and points[index][1] == points[start][1]:
                    continue
                word = words[f"{points[start][1]:g}"]
                begin, end = points[start][0] / DAY, points[min(index, len(points) - 1)][0] / DAY
                axes.barh(row, end - begin, left=begin, height=0.8, color=COLOURS[word["color"]])
                if panel["options"].get("showValue") != "never" and end - begin > self._span / DAY / 12:
                    axes.text((begin + end) / 2, row, word["text"], color="black", fontsize=8, ha="center", va="center")
                start = index
        axes.set_yticks(range(len(series)), [name for name, _ in series])
        self._time(axes)
        axes.tick_params(axis="y", labelcolor="#ccccdc", labelsize=8 if len(series) < 6 else 6.5)


def play(running: Live) -> float:
    """Let a failover and a handover happen; return the seconds that it took."""
    started = time.monotonic()
    group = running.group
    time.sleep(BEFORE_S)
    done = fail_over(running)
    time.sleep(BETWEEN_S)
    gone = group.agents[done.before]
    group.nodeos(gone).restart()
    group.settle()
    time.sleep(BETWEEN_S)
    group.etcdctl("put", "@leader", gone.node)
    group.wait_leads(gone)
    time.sleep(AFTER_S)
    return time.monotonic() - started


def main(arguments: list[str]) -> None:
    """Play, and draw it."""
    target = Path(arguments[0]) if arguments else TARGET
    with tempfile.TemporaryDirectory() as root, live(Path(root) / "group") as running:
        spent = play(running)
        Picture(running.prometheus, spent + 10).draw(target)
    sys.stdout.write(f"{target}: {target.stat().st_size // 1024} KiB\n")


if __name__ == "__main__":
    main(sys.argv[1:])
