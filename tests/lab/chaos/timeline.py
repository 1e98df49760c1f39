"""The picture of a run, drawn by hand as SVG: a row a node and one for etcd, two minutes a band. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from tests.lab.chaos.checker import SHORT
from tests.lab.chaos.history import Change, Done, Gap, History, Verdict

BAND = 120.0
"""Seconds in one band."""
SCALE = 10.0
"""Pixels a second."""
LEFT, ROW, FOOT, HEAD = 90, 34, 26, 64
COLOURS = {
    "leading": "#2e9e4f",
    "elected": "#9ad29b",
    "campaigning": "#bfe3ef",
    "standby": "#dfe7ee",
    "stopping": "#f2b23e",
    "releasing": "#f6d58b",
    "starting": "#c9c2dd",
    "gone": "#555555",
}
GROUP_ROW = "etcd, words"
FAULT = "#7a1fa2"
GAP = "#f4c7c3"
DOUBLE = "#d00000"
STRAY = "#ff9900"


def draw(history: History, verdict: Verdict, title: str) -> str:
    """Return the whole picture."""
    rows = [*history.nodes, GROUP_ROW]
    bands = max(1, int((history.ended - history.began) // BAND) + 1)
    height = HEAD + bands * (len(rows) * ROW + FOOT)
    width = LEFT + BAND * SCALE + 20
    size = f'viewBox="0 0 {width:g} {height}" width="{width:g}" height="{height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="11">',
        f'<rect width="100%" height="100%" fill="white"/><text x="10" y="18" font-size="15">{escape(title)}</text>',
        *_legend(),
    ]
    for band in range(bands):
        lines += _Band(history, verdict, rows, band).draw()
    return "\n".join([*lines, "</svg>"]) + "\n"


def _legend() -> Iterator[str]:
    x = 10.0
    marks = {**COLOURS, "a fault": FAULT, "gap": GAP, "signed twice": DOUBLE, "twice, not governed": STRAY}
    for name, colour in marks.items():
        yield f'<rect x="{x:g}" y="30" width="12" height="12" fill="{colour}"/>'
        yield f'<text x="{x + 16:g}" y="40">{name}</text>'
        x += 34 + 6.2 * len(name)
    yield f'<rect x="{x:g}" y="34" width="12" height="4" fill="black"/><text x="{x + 16:g}" y="40">signs</text>'


class _Band:
    """Two minutes."""

    def __init__(self, history: History, verdict: Verdict, rows: list[str], number: int) -> None:
        self._history, self._verdict, self._rows = history, verdict, rows
        self._from = history.began + number * BAND
        self._to = min(self._from + BAND, history.ended)
        self._top = HEAD + number * (len(rows) * ROW + FOOT)
        self._bottom = self._top + len(rows) * ROW

    def draw(self) -> Iterator[str]:
        for gap in self._verdict.gaps:
            yield from self._gap(gap)
        for row, name in enumerate(self._rows):
            y = self._top + row * ROW
            yield f'<text x="8" y="{y + 14}">{escape(name)}</text>'
            if name in self._history.nodes:
                yield from self._phases(name, y)
                yield from self._signs(name, y)
            yield from self._faults(name, y)
        for double in self._verdict.doubles:
            at = double.signatures[0].wall
            who = " and ".join(each.node for each in double.signatures)
            colour = DOUBLE if double.governed else STRAY
            yield from self._bar(at, at + 0.3, self._top, self._bottom - self._top, colour, f"signed twice: {who}")
        yield from self._axis()

    def _bar(
        self, started: float, ended: float, y: float, height: float, colour: str, title: str = ""
    ) -> Iterator[str]:
        one, two = max(started, self._from), min(ended, self._to)
        if one >= two:
            return
        x, wide = LEFT + (one - self._from) * SCALE, max(1.5, (two - one) * SCALE)
        says = f"<title>{escape(title)}</title>" if title else ""
        yield f'<rect x="{x:.1f}" y="{y:g}" width="{wide:.1f}" height="{height:g}" fill="{colour}">{says}</rect>'

    def _gap(self, gap: Gap) -> Iterator[str]:
        if gap.count > SHORT:
            causes = "; ".join(gap.causes) or "NO CAUSE"
            title = f"{gap.count} slots missed: {causes}"
            yield from self._bar(gap.started, gap.ended, self._top - 3, self._bottom - self._top + 3, GAP, title)
            if not gap.causes and self._from <= gap.started < self._to:
                x = LEFT + (gap.started - self._from) * SCALE
                yield f'<text x="{x:.1f}" y="{self._bottom + 10}" fill="{DOUBLE}">?</text>'

    def _phases(self, node: str, y: float) -> Iterator[str]:
        changes = [each for each in self._history.changes if each.node == node]
        end = Change(node, self._history.ended, "", "", 0, "")
        for one, two in zip(changes, [*changes[1:], end], strict=True):
            title = f"{one.phase}, epoch {one.epoch}: {one.reason}"
            yield from self._bar(one.at, two.at, y, 14, COLOURS.get(one.phase, "#ffffff"), title)

    def _signs(self, node: str, y: float) -> Iterator[str]:
        for each in self._history.signatures:
            if each.node == node:
                yield from self._bar(each.wall - 0.2, each.wall + 0.2, y + 15, 3, "black")

    def _faults(self, row: str, y: float) -> Iterator[str]:
        for number, done in enumerate(each for each in self._history.done if _row_of(each, self._rows) == row):
            ended = max(done.ended if done.fault.length else done.started, done.started + 0.2)
            title = str(done.fault) + (f" (not done: {done.failed})" if done.failed else "")
            colour = "#cccccc" if done.failed else FAULT
            level = y + (19 if row != GROUP_ROW else 2) + 4 * (number % 3)
            yield from self._bar(done.started, ended, level, 3, colour, title)
            if row == GROUP_ROW and self._from <= done.started < self._to:
                x = LEFT + (done.started - self._from) * SCALE
                at = f'x="{x:.1f}" y="{y + 22 + 8 * (number % 2)}"'
                yield f'<text {at} font-size="7">{escape(done.fault.kind)}</text>'

    def _axis(self) -> Iterator[str]:
        for second in range(0, int(BAND) + 1, 10):
            x = LEFT + second * SCALE
            at = round(self._from - self._history.began) + second
            yield f'<text x="{x:g}" y="{self._bottom + 18}" fill="#888" text-anchor="middle">{at} s</text>'


def _row_of(done: Done, rows: list[str]) -> str:
    return done.fault.target if done.fault.target in rows else GROUP_ROW
