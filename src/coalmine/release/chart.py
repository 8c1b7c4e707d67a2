"""A line chart as inline SVG in the page's own colours (--c0 ... --c4). Pure: numbers in, text out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 720.0, 240.0, 44.0, 120.0, 18.0, 28.0
_COLOURS = 5
_TICKS = (1, 2, 2.5, 5, 10)
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Line:
    """A named curve; `step` holds each value until the next."""

    name: str
    points: Sequence[Point]
    step: bool = False


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where values land in the picture."""

    right: float
    low: float
    high: float

    def x(self, value: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * value / self.right

    def y(self, value: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (self.high - value) / (self.high - self.low)


def chart(
    lines: Sequence[Line],
    *,
    name: str,
    until: float = 1.0,
    top: float | None = None,
    threshold: float | None = None,
) -> str:
    """Curves over seconds from 0 to at least `until`, dashed at `threshold`; `top` fixes the values' upper end."""
    values = [y for line in lines for _, y in line.points] + ([] if threshold is None else [threshold])
    right = max([x for line in lines for x, _ in line.points] + [until, 1.0])
    high = top if top is not None else max([*values, 1.0]) * 1.05
    frame = _Frame(right, min([*values, 0.0]), high)
    label = f"{name} over time: {', '.join(line.name for line in lines)}"
    parts = [
        f'<svg viewBox="0 0 {_WIDTH:.0f} {_HEIGHT:.0f}" role="img" aria-label="{escape(label)}">',
        f'<text x="{_LEFT:.0f}" y="11">{escape(name)}</text>',
        *_axes(frame),
    ]
    if threshold is not None:
        y = frame.y(threshold)
        parts.append(f'<line class="threshold" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
    parts += [_curve(line, frame, number) for number, line in enumerate(lines)]
    return "\n".join([*parts, *_legend(lines), "</svg>"])


def _axes(frame: _Frame) -> list[str]:
    drawn = []
    for value in _ticks(frame.low, frame.high):
        y = frame.y(value)
        drawn.append(f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        drawn.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    return drawn + [
        f'<text x="{frame.x(value):.1f}" y="{_HEIGHT - 8}" text-anchor="middle">{value:g} s</text>'
        for value in _ticks(0.0, frame.right)
    ]


def _ticks(low: float, high: float) -> list[float]:
    """Some five round numbers in [low, high]."""
    rough = (high - low) / 5
    power = 10.0 ** (len(f"{int(rough)}") - 1) if rough >= 1 else 0.1
    step = next((power * factor for factor in _TICKS if power * factor >= rough), power * 10)
    first = int(-(-low // step))
    return [round(step * number, 6) for number in range(first, int(high // step) + 1)]


def _curve(line: Line, frame: _Frame, number: int) -> str:
    points: list[Point] = []
    for x, y in line.points:
        if line.step and points:
            points.append((x, points[-1][1]))
        points.append((x, y))
    drawn = " ".join(f"{frame.x(x):.1f},{frame.y(y):.1f}" for x, y in points)
    return f'<polyline stroke="var(--c{number % _COLOURS})" points="{drawn}"/>'


def _legend(lines: Sequence[Line]) -> list[str]:
    drawn, x = [], _WIDTH - _RIGHT + 12
    for number, line in enumerate(lines):
        y = _TOP + 12 + 18 * number
        drawn.append(f'<rect x="{x}" y="{y - 9}" width="10" height="10" fill="var(--c{number % _COLOURS})"/>')
        drawn.append(f'<text x="{x + 15}" y="{y}">{escape(line.name)}</text>')
    return drawn
