"""A signal's evidence over the rows seen, against the line where the alarm comes. Pure."""

from __future__ import annotations

import math

from coalmine.drift.health import Signal
from coalmine.judge.report.chart import Axis, Drawing, Label, Path, ticks

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 410.0, 170.0, 50.0, 110.0, 12.0, 26.0
_DECADE = math.log(10)


def evidence(signal: Signal) -> Drawing:
    """Natural logarithms, labelled as odds against "nothing has changed"."""
    points = [(0, 0.0), *((seen, math.log(e)) for seen, e in signal.trail)]
    low = min(-_DECADE, *(value for _, value in points))
    high = max(1.2 * signal.log_limit, min(max(value for _, value in points), 3 * signal.log_limit))
    x = Axis(0.0, float(max(points[-1][0], 1)), LEFT, WIDTH - RIGHT)
    y = Axis(low, high, HEIGHT - BOTTOM, TOP)
    line, colour = y.at(signal.log_limit), "bad" if signal.alarm_at else "c0"
    shapes: list[Path | Label] = []
    for decade in range(math.ceil(low / _DECADE), math.floor(high / _DECADE) + 1, max(1, int(high / _DECADE / 4))):
        height = y.at(decade * _DECADE)
        said = f"{10**decade:,}:1" if decade >= 0 else f"1:{10**-decade:,}"
        shapes.append(Path([(LEFT, height), (WIDTH - RIGHT, height)], stroke="rule", width=1.0))
        shapes.append(Label(LEFT - 6, height, said, anchor="end"))
    shapes += [
        Label(x.at(value), HEIGHT - BOTTOM + 13, f"{value:,.0f}", anchor="middle")
        for value in ticks(0, x.high, about=4)
    ]
    shapes.append(Path([(LEFT, line), (WIDTH - RIGHT, line)], stroke="bad", dashed=True, data={"line": "alarm"}))
    shapes.append(Label(WIDTH - RIGHT + 6, line, "alarm", colour="bad", bold=True))
    drawn = [(x.at(seen), y.at(value)) for seen, value in points]
    shapes.append(Path(drawn, stroke=colour, width=2.0, data={"curve": signal.name}))
    title = f"Odds that {signal.name} has changed, over {signal.seen:,} rows: {signal.what}"
    return Drawing(WIDTH, HEIGHT, title, tuple(shapes), signal.name.replace(".", "-"))
