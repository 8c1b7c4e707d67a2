"""Drawings of a back-test and of a plan, into an SVG or PNG file of their own. Shapes and paint are the report's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path as File

from coalmine.errors import BadInput
from coalmine.files import write_whole
from coalmine.judge.backtest import Result
from coalmine.judge.plan import Outlook
from coalmine.judge.report.chart import Axis, Drawing, Label, Path, Point, apart, svg, ticks
from coalmine.judge.report.pixels import paint

_WIDTH, _PANEL, _LEFT, _RIGHT, _TOP, _BOTTOM = 900.0, 220.0, 60.0, 250.0, 30.0, 28.0
_COLOURS, _MOST = 5, 8  # curves and panels that can still be told apart
_FLOOR = -math.log(1e3)
_STYLE = """<style>
:root { --ink: #1d2126; --soft: #58616b; --rule: #d9dee6; --good: #1a7a4a; --bad: #ba2b21; --c0: #2563b8; --c1: #a84e09;
  --c2: #7a3fb0; --c3: #0f766e; --c4: #a3195b; font-family: system-ui, sans-serif; background: #fff; }
</style>"""


@dataclass(frozen=True, slots=True)
class _Curve:
    name: str
    points: Sequence[Point]


def evidence(results: Sequence[Result], *, alpha: float) -> Drawing:
    """One panel a recording: each policy's odds that the canary is worse, against 1/alpha."""
    limit = -math.log(alpha)
    panels = []
    for recording in list(dict.fromkeys(result.recording for result in results))[:_MOST]:
        here = [result for result in results if result.recording == recording and result.trace]
        curves = [_Curve(result.by, [(t, max(_FLOOR, value)) for t, value in result.trace]) for result in here]
        values = [value for curve in curves for _, value in curve.points]
        y = Axis(min([*values, -1.0]), max(1.3 * limit, min(max([*values, 0.0]) * 1.05, 3.0 * limit)), 0.0, 1.0)
        marks = [(10.0**power, power * math.log(10)) for power in range(-3, 7)]
        said = [(value, f"{odds:,.0f}:1" if odds >= 1 else f"1:{1 / odds:,.0f}") for odds, value in marks]
        panels.append(_Panel(f"{recording}: odds that the canary is worse", curves, y, said, limit))
    return _stacked(panels, "Evidence to roll back over time")


def outlooks(found: Sequence[Outlook]) -> Drawing:
    """One panel a canary: the share of runs that ended as they should by a time."""
    panels = []
    for rate in dict.fromkeys(one.rate for one in found):
        here = [one for one in found if one.rate == rate]
        what = "healthy release: promoted" if here[0].healthy else f"{100 * rate:g} % errors: rolled back"
        end = max([t for one in here for t in one.ended] + [1.0])
        curves = [_Curve(one.by, _share_by_time(one, end=end)) for one in here]
        said = [(share / 100, f"{share} %") for share in (0, 50, 100)]
        panels.append(_Panel(f"{what} by then", curves, Axis(0.0, 1.0, 0.0, 1.0), said, None))
    return _stacked(panels, "Share of runs decided over time")


def write(path: File, drawing: Drawing) -> None:
    """Raises BadInput for another suffix than .svg or .png, and where it cannot be written."""
    try:
        if path.suffix == ".svg":
            first, _, rest = svg(drawing).partition("\n")
            write_whole(path, f"{first}\n{_STYLE}\n{rest}\n")
        elif path.suffix == ".png":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(paint(drawing))
        else:
            raise BadInput("no picture's name", where=str(path), remedy="one that ends with .svg or .png")
    except OSError as error:
        raise BadInput(str(error), where=str(path), remedy="a file that can be written") from error


@dataclass(frozen=True, slots=True)
class _Panel:
    title: str
    curves: Sequence[_Curve]
    y: Axis  # its pixels are set where the panel is placed
    marks: Sequence[tuple[float, str]]
    line: float | None


def _stacked(panels: Sequence[_Panel], title: str) -> Drawing:
    shapes: list[Path | Label] = []
    for place, panel in enumerate(panels):
        shapes += _panel(panel, place * _PANEL)
    return Drawing(_WIDTH, _PANEL * max(1, len(panels)), title, tuple(shapes))


def _panel(panel: _Panel, down: float) -> list[Path | Label]:
    y = Axis(panel.y.low, panel.y.high, down + _PANEL - _BOTTOM, down + _TOP)
    longest = max([t for curve in panel.curves for t, _ in curve.points] + [1.0])
    x = Axis(0.0, longest, _LEFT, _WIDTH - _RIGHT)
    shapes: list[Path | Label] = [Label(12.0, down + 12.0, panel.title, colour="ink", bold=True)]
    for value, said in panel.marks:
        if y.low <= value <= y.high:
            shapes.append(Path([(x.start, y.at(value)), (x.end, y.at(value))], stroke="rule", width=1.0))
            shapes.append(Label(_LEFT - 6, y.at(value), said, anchor="end"))
    shapes += _times(x, down + _PANEL - _BOTTOM + 12)
    labels = []
    if panel.line is not None:
        level = y.at(panel.line)
        shapes.append(Path([(x.start, level), (x.end, level)], stroke="bad", dashed=True))
        labels.append(Label(x.end + 8, level, "rolls back", colour="bad", bold=True))
    for place, curve in enumerate(panel.curves):
        ink = f"c{place % _COLOURS}"
        drawn = [(x.at(t), y.at(value)) for t, value in curve.points]
        shapes.append(Path(drawn, stroke=ink, width=1.8, data={"curve": curve.name}))
        if drawn:
            labels.append(Label(x.end + 8, drawn[-1][1], _cropped(curve.name), colour=ink))
    return [*shapes, *apart(labels, top=y.end, bottom=y.start)]


def _times(x: Axis, height: float) -> list[Path | Label]:
    unit, name = next((u, n) for u, n in ((1, "s"), (60, "min"), (3600, "h")) if x.high / u < 300 or u == 3600)
    at = ticks(0.0, x.high / unit, about=6)
    return [Label(x.at(value * unit), height, f"{value:g} {name}", anchor="middle") for value in at]


def _share_by_time(one: Outlook, *, end: float) -> list[Point]:
    """A staircase from nothing to the share that ended as it should."""
    points: list[Point] = [(0.0, 0.0)]
    for place, t in enumerate(one.ended, start=1):
        points += [(t, points[-1][1]), (t, place / one.runs)]
    return [*points, (end, points[-1][1])]


def _cropped(name: str) -> str:
    return name if len(name) <= 34 else f"...{name[-31:]}"
