"""A drawing as plain shapes, and as inline SVG in the page's own colours. Pure: numbers in, text out.

Colours are names (`ink`, `soft`, `rule`, `good`, `bad`, `c0` ... `c4`): in SVG they are the page's CSS variables and so
follow light and dark; a PNG (`coalmine.judge.report.pixels`) takes the light ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape

Point = tuple[float, float]
TEXT = 12.0  # pixels of a label at the drawing's own size
_APART = 14.0  # pixels between two labels, one above the other


@dataclass(frozen=True, slots=True)
class Path:
    """A line through `points`, or an area where there is a `fill`. `data` is kept as data-* attributes."""

    points: Sequence[Point]
    stroke: str = ""
    fill: str = ""
    width: float = 1.5
    dashed: bool = False
    opacity: float = 1.0
    data: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Label:
    x: float
    y: float
    text: str
    anchor: str = "start"  # or middle, end
    colour: str = "soft"
    bold: bool = False
    size: float = TEXT


@dataclass(frozen=True, slots=True)
class Drawing:
    """`title` says in words what a reader who does not see it needs to know."""

    width: float
    height: float
    title: str
    shapes: tuple[Path | Label, ...]
    name: str = ""


@dataclass(frozen=True, slots=True)
class Axis:
    """Values from `low` to `high` land on pixels from `start` to `end`; what lies beyond lands on the edge."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        low, high = self._of(self.low), self._of(self.high)
        share = (self._of(max(self.low, min(self.high, value))) - low) / (high - low)
        return self.start + (self.end - self.start) * share

    def _of(self, value: float) -> float:
        return math.log(value) if self.log else value


def ticks(low: float, high: float, *, about: int = 4) -> list[float]:
    """Some round numbers in [low, high]; fewer rather than more."""
    rough = (high - low) / about
    if rough <= 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(step * number, 9) for number in range(first, last + 1)]


def apart(labels: Iterable[Label], *, top: float, bottom: float) -> list[Label]:
    """The labels moved up and down until none lies on another, in their order from top to bottom."""
    ordered = sorted(labels, key=lambda label: label.y)
    floor = top
    placed = []
    for label in ordered:
        floor = max(floor, label.y)
        placed.append(replace(label, y=floor))
        floor += _APART
    ceiling = bottom
    for position in range(len(placed) - 1, -1, -1):
        placed[position] = replace(placed[position], y=min(placed[position].y, ceiling))
        ceiling = placed[position].y - _APART
    return placed


def svg(drawing: Drawing) -> str:
    """Inline SVG: it scales with its box and takes its colours from CSS variables."""
    shapes = "\n".join(_path(shape) if isinstance(shape, Path) else _label(shape) for shape in drawing.shapes)
    box = f"0 0 {drawing.width:g} {drawing.height:g}"
    name = f' data-plot="{escape(drawing.name)}"' if drawing.name else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" role="img"{name} '
        f'aria-label="{escape(drawing.title)}">\n{shapes}\n</svg>'
    )


def _path(path: Path) -> str:
    if not path.points:
        return ""
    drawn = "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in path.points) + ("Z" if path.fill else "")
    look = f'fill="{_var(path.fill)}"' + (f' opacity="{path.opacity:g}"' if path.opacity < 1 else "")
    if path.stroke:
        look += f' stroke="{_var(path.stroke)}" stroke-width="{path.width:g}" stroke-linejoin="round"'
    if path.dashed:
        look += ' stroke-dasharray="5 4"'
    data = "".join(f' data-{name}="{escape(str(value))}"' for name, value in path.data.items())
    return f'<path d="{drawn}" {look}{data}/>'


def _label(label: Label) -> str:
    anchor = "" if label.anchor == "start" else f' text-anchor="{label.anchor}"'
    weight = ' font-weight="600"' if label.bold else ""
    place = f'x="{label.x:.1f}" y="{label.y + label.size / 3:.1f}"'
    look = f'font-size="{label.size:g}" fill="{_var(label.colour)}"{anchor}{weight}'
    return f"<text {place} {look}>{escape(label.text)}</text>"


def _var(colour: str) -> str:
    return f"var(--{colour})" if colour else "none"
