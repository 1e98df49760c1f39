"""The picture of a benchmark, drawn by hand as SVG: a band a fault, a row a method, a mark a run. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from html import escape

from tests.lab.bench.method import TITLES
from tests.lab.bench.results import Results, Run

LEFT, WIDE, RIGHT = 290, 540, 150
ROW, BAND, TOP, FOOT = 16, 10, 56, 30
COLOURS = ("#2e7dd1", "#2e9e4f", "#d1722e", "#7a1fa2", "#8a6d00")
BAD = "#d00000"
SLOT_S = 0.5


def draw(results: Results, title: str) -> str:
    """Return the whole picture: seconds without a block of the successor, what was signed twice, and who never came."""
    bands = [(fault, list(rows)) for fault, rows in itertools.groupby(results.cells(), key=lambda cell: cell[0])]
    height = TOP + sum(len(rows) * ROW + BAND for _, rows in bands) + FOOT
    width = LEFT + WIDE + RIGHT
    most = max((_cost(run) for run in results.runs if not run.lost), default=1.0) * 1.05 or 1.0
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="11">',
        f'<rect width="100%" height="100%" fill="white"/><text x="10" y="18" font-size="15">{escape(title)}</text>',
        *_legend(results),
        *_axis(most, height),
    ]
    y = float(TOP)
    for fault, rows in bands:
        lines.append(f'<text x="10" y="{y + 12:g}">{escape(TITLES[fault])}</text>')
        for _, method, runs in rows:
            lines += _row(y, runs, COLOURS[list(results.titles).index(method) % len(COLOURS)], most)
            y += ROW
        y += BAND
    return "\n".join([*lines, "</svg>"]) + "\n"


def _cost(run: Run) -> float:
    """Return the seconds until the successor's first block; without a change what the missed slots took."""
    return run.seconds if run.seconds is not None else run.missed * SLOT_S


def _legend(results: Results) -> Iterator[str]:
    x = 10.0
    for name, colour in zip(results.titles.values(), itertools.cycle(COLOURS), strict=False):
        yield f'<rect x="{x:g}" y="28" width="12" height="12" fill="{colour}"/>'
        yield f'<text x="{x + 16:g}" y="38">{escape(name)}</text>'
        x += 34 + 6.2 * len(name)


def _axis(most: float, height: int) -> Iterator[str]:
    step = next(each for each in (0.5, 1, 2, 5, 10, 20, 50) if most / each <= 12 or each == 50)
    for number in range(int(most / step) + 1):
        x = LEFT + WIDE * number * step / most
        yield f'<line x1="{x:.1f}" y1="{TOP - 6}" x2="{x:.1f}" y2="{height - FOOT}" stroke="#eee"/>'
        yield f'<text x="{x:.1f}" y="{height - FOOT + 14}" fill="#888" text-anchor="middle">{number * step:g} s</text>'


def _row(y: float, runs: Sequence[Run], colour: str, most: float) -> Iterator[str]:
    """Draw each run as a mark and their median as a bar, and behind the axis what went wrong."""
    spans = sorted(_cost(run) for run in runs if not run.lost)
    if spans:
        wide = WIDE * spans[len(spans) // 2] / most
        yield f'<rect x="{LEFT}" y="{y + 3:g}" width="{wide:.1f}" height="10" fill="{colour}" opacity="0.35"/>'
    for span in spans:
        x = LEFT + WIDE * span / most
        where = f'x="{x - 1:.1f}" y="{y + 2:g}" width="2" height="12"'
        yield f'<rect {where} fill="{colour}"><title>{span:.2f} s</title></rect>'
    lost, twice = sum(run.lost for run in runs), sum(run.twice + run.twice_back for run in runs)
    words = [f"nobody came: {lost} of {len(runs)}"] if lost else []
    words += [f"signed twice: {twice}"] if twice else []
    if words:
        yield f'<text x="{LEFT + WIDE + 6}" y="{y + 12:g}" font-size="9" fill="{BAD}">{", ".join(words)}</text>'
