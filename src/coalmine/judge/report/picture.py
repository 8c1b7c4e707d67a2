"""The main plot as one picture that explains itself: the verdict, the sentence, the evidence against its line."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from coalmine.judge.report import plots, words
from coalmine.judge.report.chart import Drawing, Label, Path

_WIDTH, _PLOT, _LINE = 900.0, 380.0, 19.0


def main_plot(title: str, sentence: str, view: Mapping[str, Any], trace: Sequence[Mapping[str, Any]]) -> Drawing:
    """900 wide; as high as the sentence needs."""
    lines = textwrap.wrap(sentence, 112)[:6]
    top = 52.0 + _LINE * len(lines) + 26.0
    plot = plots.evidence(view, trace, width=_WIDTH - 24.0, height=_PLOT)
    head: list[Path | Label] = [
        Label(24.0, 26.0, f"{title}: {words.headline(view).lower()}", colour=words.tone(view), bold=True, size=19.0)
    ]
    head += [Label(24.0, 56.0 + _LINE * row, line, colour="ink", size=14.5) for row, line in enumerate(lines)]
    head.append(Label(24.0, top - 10.0, "Odds that the canary is worse, over time", size=13.0))
    moved = tuple(_moved(shape, 12.0, top) for shape in plot.shapes)
    return Drawing(_WIDTH, top + _PLOT + 8.0, plot.title, (*head, *moved), "main")


def _moved(shape: Path | Label, right: float, down: float) -> Path | Label:
    if isinstance(shape, Label):
        return replace(shape, x=shape.x + right, y=shape.y + down)
    return replace(shape, points=[(x + right, y + down) for x, y in shape.points])
