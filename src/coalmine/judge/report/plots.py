"""Which pictures an analysis gets: evidence as odds, the odds ratio's band of each metric, weights over time.

`view` is an analysis' JSON and `trace` its trace (`coalmine.judge.views`). Pure, and no numpy here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from coalmine.judge.report import words
from coalmine.judge.report.chart import Axis, Drawing, Label, Path, Point, apart, ticks

View = Mapping[str, Any]
Trace = Sequence[Mapping[str, Any]]
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 410.0, 210.0, 50.0, 120.0, 12.0, 26.0
_COLOURS = 5
_FLOOR = -math.log(1e3)  # evidence below 1:1000 is drawn at the edge
_DECADE = math.log(10)


def evidence(view: View, trace: Trace, *, width: float = WIDTH, height: float = HEIGHT) -> Drawing:
    """The odds that the canary is worse, each metric's and the mean of all, against 1/alpha."""
    names = [name for name, metric in view["metrics"].items() if metric["role"] != "observe"]
    curves = [(name, _colour(view, name), _series(trace, name, "log_e_rollback"), 1.5) for name in names]
    curves.append(("all metrics", "ink", [(p["t"], p["log_e_mean"]) for p in trace], 2.6))
    line = (float(view["threshold_rollback"]), "bad", f"rolls back {view['odds_needed_rollback']}")
    title = f"Odds that the canary is worse: now {view['odds']}, rolled back at {view['odds_needed_rollback']}"
    return _odds(curves, line, trace, title=title, name="evidence", size=(width, height))


def promotion(view: View, trace: Trace, *, width: float = WIDTH, height: float = HEIGHT) -> Drawing:
    """The odds of each guardrail that the canary is no worse, against 1/beta."""
    names = [name for name, metric in view["metrics"].items() if metric["role"] == "guardrail"]
    curves = [(name, _colour(view, name), _series(trace, name, "log_e_noninferior"), 1.8) for name in names]
    line = (float(view["threshold_promote"]), "good", f"passes {view['odds_needed_promote']}")
    now = ", ".join(f"{name} {view['metrics'][name]['odds_noninferior']}" for name in names)
    title = f"Odds that it is no worse: now {now}; each passes at {view['odds_needed_promote']}"
    return _odds(curves, line, trace, title=title, name="promotion", size=(width, height))


_Curve = tuple[str, str, list[Point], float]


def _odds(
    curves: list[_Curve],
    line: tuple[float, str, str],
    trace: Trace,
    *,
    title: str,
    name: str,
    size: tuple[float, float],
) -> Drawing:
    """Natural logarithms over time, labelled as odds; the line decides."""
    width, height = size
    limit, colour, said = line
    values = [value for _, _, points, _ in curves for _, value in points]
    low = max(_FLOOR, min([*values, -0.3 * limit]))
    y = Axis(low, max(1.3 * limit, min(max([*values, 0.0]) * 1.05, 2.5 * limit)), height - BOTTOM, TOP)
    x, shapes = _time(trace, width=width, height=height)
    shapes += _across(y, [(d * _DECADE, _decade(d)) for d in _decades(y)], width=width)
    shapes.append(_rule(y.at(limit), width, colour, dashed=True, data={"line": name, "value": limit}))
    labels = [Label(width - RIGHT + 6, y.at(limit), said, colour=colour, bold=True)]
    for place, (label, ink, points, thick) in enumerate(curves):
        drawn = [(x.at(t), y.at(value)) for t, value in points]
        again = place >= _COLOURS and thick < 2  # the colours are used a second time
        shapes.append(Path(drawn, stroke=ink, width=thick, dashed=again, data={"curve": label}))
        if drawn:
            labels.append(Label(width - RIGHT + 6, drawn[-1][1], _cropped(label), colour=ink, bold=thick > 2))
    return Drawing(width, height, title, (*shapes, *apart(labels, top=TOP, bottom=height - BOTTOM)), name)


def band(view: View, trace: Trace, name: str) -> Drawing:
    """The confidence band of one metric's odds ratio over the canary's outcomes, with 1 and the two margins drawn."""
    metric = view["metrics"][name]
    lines = _margins(metric)
    seen = [p["metrics"][name] for p in trace if name in p["metrics"]]
    known = [(float(one["n_c"]), one["odds_low"], one["odds_high"]) for one in seen if one["odds_low"] is not None]
    y = Axis(*_reach(known, [value for _, value, _, _ in lines]), HEIGHT - BOTTOM, TOP, log=True)
    x = Axis(0.0, max([n for n, _, _ in known] + [metric["n_c"], 10]), LEFT, WIDTH - RIGHT)
    ends = [[(x.at(n), y.at(v)) for n, v in _column(known, i)] for i in (1, 2)]
    inside = [[(x.at(n), y.at(v)) for n, v in _column(known, i) if y.low <= v <= y.high] for i in (1, 2)]
    colour = _colour(view, name)
    shapes: list[Path | Label] = [
        Path([*ends[1], *reversed(ends[0])], fill=colour, opacity=0.2, data={"band": name}),
        *_across(y, [(value, _fraction(value)) for value in _doublings(y)], width=WIDTH),
        *(Path(inside[i], stroke=colour, width=1.8, data={"end": end}) for i, end in enumerate(("low", "high"))),
        *(_rule(y.at(v), WIDTH, ink, dashed=v != 1.0, data={"line": line, "value": v}) for line, v, ink, _ in lines),
        *(Label(x.at(n), HEIGHT - BOTTOM + 13, words.count(n), anchor="middle") for n in ticks(0, x.high)),
    ]  # fmt: skip
    said = words.ratio(metric) if metric["n_c"] else "no outcomes yet"
    if not metric["n_c"] or metric["changed"]:
        high = _doublings(y)[-2:]
        shapes.append(Label((x.start + x.end) / 2, sum(map(y.at, high)) / len(high), said, anchor="middle"))
    labels = [Label(WIDTH - RIGHT + 6, y.at(v), text, colour=ink, bold=True) for _, v, ink, text in lines]
    title = f"Odds ratio of {metric['noun']}, canary against primary: {said}"
    return Drawing(WIDTH, HEIGHT, title, (*shapes, *apart(labels, top=TOP, bottom=HEIGHT - BOTTOM)), f"band-{name}")


def _column(known: Sequence[tuple[float, float, float]], place: int) -> list[tuple[float, float]]:
    return [(one[0], one[place]) for one in known]


def _margins(metric: View) -> list[tuple[str, float, str, str]]:
    """Lines of a band's plot: name, odds ratio, colour, label."""
    lines = [("equal", 1.0, "ink", "1: equal")]
    if metric["odds_ratio_rollback"] > 1.0:
        value = metric["odds_ratio_rollback"]
        lines.append(("rollback", value, "bad", f"roll back > {value:g}"))
    if metric["role"] == "guardrail":
        value = metric["odds_ratio_promote"]
        lines.append(("promote", value, "good", f"promote < {value:g}"))
    return lines


def weights(points: Sequence[Mapping[str, Any]], *, start: float, end: float) -> Drawing:
    """Percent of the traffic that went to the canary, each weight until the next."""
    width, height = WIDTH, 170.0
    x = Axis(0.0, max(end - start, 1.0), LEFT, width - 12.0)
    y = Axis(0.0, 100.0, height - BOTTOM, TOP)
    drawn: list[Point] = [(x.start, y.start)]
    level = y.start
    for point in points:
        drawn += [(x.at(point["t"] - start), level), (x.at(point["t"] - start), y.at(point["weight"]))]
        level = y.at(point["weight"])
    drawn += [(x.end, level), (x.end, y.start)]
    shapes: list[Path | Label] = [Path(drawn, fill="c0", opacity=0.25), Path(drawn[:-1], stroke="c0", width=2.0)]
    shapes += _across(y, [(value, f"{value:g} %") for value in (0.0, 50.0, 100.0)], width=width, right=12.0)
    shapes += _seconds(x, height, about=4)
    said = ", ".join(f"{point['weight']:g} %" for point in points) or "none"
    return Drawing(width, height, f"Weights of the canary over time: {said}", tuple(shapes), "weights")


# ---- pieces ------------------------------------------------------------------------------------------------------


def _series(trace: Trace, name: str, key: str) -> list[Point]:
    return [(p["t"], p["metrics"][name][key]) for p in trace if name in p["metrics"]]


def _colour(view: View, name: str) -> str:
    return f"c{list(view['metrics']).index(name) % _COLOURS}"


def _cropped(name: str) -> str:
    return name if len(name) <= 15 else name[:14] + "."


def _time(trace: Trace, *, width: float, height: float) -> tuple[Axis, list[Path | Label]]:
    """An axis of Unix times that is labelled in time since the first point."""
    start = trace[0]["t"] if trace else 0.0
    length = max(trace[-1]["t"] - start, 1.0) if trace else 1.0
    axis = Axis(start, start + length, LEFT, width - RIGHT)
    return axis, _seconds(Axis(0.0, length, axis.start, axis.end), height, about=4 if width < 600 else 8)


def _seconds(x: Axis, height: float, *, about: int) -> list[Path | Label]:
    unit, name = next((u, n) for u, n in ((1, "s"), (60, "min"), (3600, "h")) if x.high / u < 300 or u == 3600)
    return [
        Label(x.at(value * unit), height - BOTTOM + 13, f"{value:g} {name}", anchor="middle")
        for value in ticks(0.0, x.high / unit, about=about)
    ]


def _across(y: Axis, marks: Sequence[tuple[float, str]], *, width: float, right: float = RIGHT) -> list[Path | Label]:
    shapes: list[Path | Label] = []
    for value, said in marks:
        height = y.at(value)
        data = {"tick": f"{value:.6g}"}
        shapes.append(Path([(LEFT, height), (width - right, height)], stroke="rule", width=1.0, data=data))
        shapes.append(Label(LEFT - 6, height, said, anchor="end"))
    return shapes


def _rule(height: float, width: float, colour: str, *, dashed: bool, data: Mapping[str, object]) -> Path:
    return Path([(LEFT, height), (width - RIGHT, height)], stroke=colour, width=1.4, dashed=dashed, data=data)


def _decades(y: Axis) -> list[int]:
    low, high = math.ceil(y.low / _DECADE), math.floor(y.high / _DECADE)
    every = max(1, math.ceil((high - low) / 5))
    return [decade for decade in range(low, high + 1) if decade % every == 0]


def _decade(power: int) -> str:
    return f"{10**power:,}:1" if power >= 0 else f"1:{10**-power:,}"


def _reach(known: Sequence[tuple[float, Any, Any]], lines: Sequence[float]) -> tuple[float, float]:
    """From where to where the odds ratio is drawn: the lines, and the band as it is now with some room."""
    low, high = (known[-1][1], known[-1][2]) if known else (1.0, 1.0)
    return max(1 / 64, min(0.5, low / 2)), min(256.0, max(4.0, 1.5 * max(lines), 1.6 * high))


def _doublings(y: Axis) -> list[float]:
    powers = range(math.ceil(math.log2(y.low) - 1e-9), math.floor(math.log2(y.high) + 1e-9) + 1)
    every = max(1, math.ceil(len(powers) / 6))
    return [2.0**power for power in powers if power % every == 0]


def _fraction(value: float) -> str:
    return f"{value:g}" if value >= 1 else f"1/{1 / value:g}"
