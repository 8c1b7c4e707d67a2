"""A dashboard's shadow: its panels in their places, drawn by matplotlib from what Prometheus answers. Grafana is not
run here; this shows whether a board can be read. `COALMINE_PICTURES=<folder>` makes test_live.py leave them there.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from manifests.monitoring.estate import filled

Ask = Callable[[str], list[dict[str, Any]]]
_HEIGHT = 0.45  # inches of one row of Grafana's grid


def draw(board: dict[str, Any], ask: Ask, into: Path) -> None:
    """One PNG. `ask` answers a query with Prometheus' matrix."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - only for the picture
    from matplotlib.figure import Figure  # noqa: PLC0415 - likewise

    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in board["panels"])
    figure = Figure(figsize=(18, rows * _HEIGHT))
    FigureCanvasAgg(figure)
    for panel in board["panels"]:
        place = panel["gridPos"]
        left, width = place["x"] / 24 + 0.025, place["w"] / 24 - 0.04
        bottom, height = 1 - (place["y"] + place["h"] - 0.9) / rows, (place["h"] - 2.2) / rows
        if panel["type"] == "row":
            figure.text(0.01, 1 - (place["y"] + 0.8) / rows, panel["title"], fontsize=13, weight="bold")
            continue
        axes = figure.add_axes((left, bottom, width, height))
        axes.set_title(panel["title"], fontsize=9, loc="left")
        axes.tick_params(labelsize=7)
        _panel(axes, panel, ask)
    figure.savefig(into, dpi=70)


def _panel(axes: Any, panel: dict[str, Any], ask: Ask) -> None:
    last, now = [], time.time()
    for target in panel["targets"]:
        for series in ask(filled(target["expr"], namespace="sentiment", name="sentiment")):
            told = _named(target["legendFormat"], series["metric"])
            points = [(float(t), float(value)) for t, value in series["values"]]
            if panel["type"] == "stat" and points[-1][0] < now - 5:
                continue  # an instant query no longer finds it
            last.append(f"{told}: {points[-1][1]:g}")
            if panel["type"] != "stat":
                thin = told.endswith(("lower", "upper"))
                axes.plot(*zip(*points, strict=True), lw=0.6 if thin else 1.2, ls="--" if thin else "-", label=told)
    if panel["type"] == "stat":
        axes.axis("off")
        axes.text(0, 0.4, "\n".join(last) or "no data", fontsize=11)
        return
    for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]:
        if step["value"] is not None and panel["type"] == "timeseries":
            axes.axhline(step["value"], color=step["color"], lw=0.8)
    if last:
        axes.legend(fontsize=6, loc="upper left")


def _named(legend: str, labels: dict[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), legend)
