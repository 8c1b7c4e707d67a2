"""Grafana's JSON for what these dashboards have: few kinds of panel, each made in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_WIDTH = 24  # of Grafana's grid
_SCHEMA = 39  # Grafana 11; later ones migrate it when they load it
_THEIRS = 'namespace=~"$namespace",name=~"$name"'


@dataclass(frozen=True, slots=True)
class Panel:
    """`asks` are pairs of query and legend. `lines` are named levels drawn across a time series, by value."""

    title: str
    told: str
    asks: tuple[tuple[str, str], ...]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 12
    height: int = 8
    colours: tuple[tuple[float, str], ...] = ()
    words: tuple[tuple[int, str], ...] = ()
    band: bool = False
    least: float | None = 0


@dataclass(frozen=True, slots=True)
class Board:
    """`rows` is a dashboard from top to bottom: a heading and its panels."""

    uid: str
    title: str
    told: str
    rows: tuple[tuple[str, tuple[Panel, ...]], ...]
    per_canary: bool = True


def theirs(query: str) -> str:
    """Put the dashboard's choice of Canary in the place of `{*}`; `{*,x}` becomes the choice and x."""
    return query.replace("{*", "{" + _THEIRS)


def render(board: Board) -> dict[str, Any]:
    """The dashboard as Grafana imports it. Panel ids count from 1."""
    panels: list[dict[str, Any]] = []
    y = 0
    for heading, row in board.rows:
        panels.append(_row(heading, len(panels) + 1, y))
        y, x, tallest = y + 1, 0, 0
        for panel in row:
            if x + panel.width > _WIDTH:
                x, y, tallest = 0, y + tallest, 0
            panels.append(_panel(panel, len(panels) + 1, x, y))
            x, tallest = x + panel.width, max(tallest, panel.height)
        y += tallest
    return {
        "uid": board.uid,
        "title": board.title,
        "description": board.told,
        "tags": ["coalmine"],
        "schemaVersion": _SCHEMA,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "timezone": "utc",
        "links": [{"type": "dashboards", "title": "Coalmine", "tags": ["coalmine"], "keepTime": True}],
        "templating": {"list": _variables(per_canary=board.per_canary)},
        "annotations": {"list": _annotations(per_canary=board.per_canary)},
        "panels": panels,
    }


def _row(heading: str, number: int, y: int) -> dict[str, Any]:
    place = {"h": 1, "w": _WIDTH, "x": 0, "y": y}
    return {"id": number, "type": "row", "title": heading, "collapsed": False, "gridPos": place, "panels": []}


def _panel(panel: Panel, number: int, x: int, y: int) -> dict[str, Any]:
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.told,
        "datasource": SOURCE,
        "gridPos": {"h": panel.height, "w": panel.width, "x": x, "y": y},
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": SOURCE,
                "expr": theirs(query),
                "legendFormat": legend,
                # Over a range a stat would also show the last value of what is gone, a former decision for example.
                "instant": panel.kind == "stat",
                "range": panel.kind != "stat",
            }
            for place, (query, legend) in enumerate(panel.asks)
        ],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": _bands(panel)},
        "options": _options(panel.kind),
    }


def _defaults(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green" if panel.colours else "text", "value": None}]
    steps += [{"color": colour, "value": value} for value, colour in panel.colours]
    made: dict[str, Any] = {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": steps}}
    if panel.least is not None:
        made["min"] = panel.least
    if panel.words:
        told = {str(value): {"text": word, "index": place} for place, (value, word) in enumerate(panel.words)}
        made["mappings"] = [{"type": "value", "options": told}]
    if panel.kind == "timeseries":
        lines = "line" if panel.colours else "off"
        made["custom"] = {"lineWidth": 1, "fillOpacity": 0, "thresholdsStyle": {"mode": lines}, "spanNulls": False}
    return made


def _bands(panel: Panel) -> list[dict[str, Any]]:
    """The bounds of an interval are drawn thin, so that the middle is what is seen."""
    if not panel.band:
        return []
    thin = [
        {"id": "custom.lineWidth", "value": 0.5},
        {"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [4, 4]}},
    ]
    return [{"matcher": {"id": "byRegexp", "options": ".*(lower|upper)$"}, "properties": thin}]


def _options(kind: str) -> dict[str, Any]:
    if kind == "timeseries":
        return {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}
    if kind == "state-timeline":
        return {"mergeValues": True, "showValue": "never", "legend": {"displayMode": "list", "placement": "bottom"}}
    return {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value", "textMode": "value_and_name"}


def _variables(*, per_canary: bool) -> list[dict[str, Any]]:
    source = {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    if not per_canary:
        return [source]
    known = "coalmine:canary_weight:percent"
    return [
        source,
        _choice("namespace", f"label_values({known}, namespace)"),
        _choice("name", f'label_values({known}{{namespace=~"$namespace"}}, name)'),
    ]


def _choice(name: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "label": name,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "includeAll": True,
        "allValue": ".+",
        "multi": False,
        "current": {"text": "All", "value": "$__all"},
    }


def _annotations(*, per_canary: bool) -> list[dict[str, Any]]:
    """A line where a canary begins and where one fails."""
    if not per_canary:
        return []
    begins = theirs('coalmine:canary_weight:percent{*,arm="canary"} > 0')
    fails = theirs("coalmine:canary_status:phase{*} == 2")
    return [
        _mark("canary has traffic", begins, "blue"),
        _mark("canary failed", fails, "red"),
    ]


def _mark(name: str, expr: str, colour: str) -> dict[str, Any]:
    return {"name": name, "datasource": SOURCE, "enable": True, "iconColor": colour, "expr": expr, "step": "10s"}
