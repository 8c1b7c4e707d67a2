"""The report as one HTML file: no script, no font, no request; pictures are inline SVG that follow light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

from coalmine.release.chart import Line, chart

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2430; --soft: #5c6675; --rule: #d9dee6; --paper: #fff; --box: #f5f7fa;
  --good: #1a7f4b; --bad: #c0362c; --c0: #2563b8; --c1: #b4540a; --c2: #7a3fb0; --c3: #0f7d78; --c4: #a3195b; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --soft: #9aa5b5; --rule: #353d4a; --paper: #14181f;
  --box: #1c222c; --good: #4cc38a; --bad: #ff7a6e; --c0: #6ea8fe; --c1: #f0a35e; --c2: #c198f0; --c3: #5fd0c9;
  --c4: #f285b5; } }
body { margin: 0 auto; max-width: 60rem; padding: 2rem 1rem 4rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
.verdict { border-left: 4px solid var(--soft); background: var(--box); padding: .75rem 1rem; margin: 1rem 0;
  overflow-wrap: anywhere; }
.verdict.promoted, .verdict.first_release { border-color: var(--good); }
.verdict.rolled_back { border-color: var(--bad); }
.soft, figcaption { color: var(--soft); } .missing { border: 1px solid var(--bad); padding: .5rem 1rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .3rem .75rem .3rem 0; border-bottom: 1px solid var(--rule); }
td.number, th.number { text-align: right; } code { font-size: .9em; overflow-wrap: anywhere; }
.differs td { font-weight: 600; } figure { margin: 0 0 1rem; } svg { width: 100%; height: auto; }
svg text { fill: var(--soft); font: 11px system-ui, sans-serif; } svg .axis { stroke: var(--rule); }
svg .threshold { stroke: var(--bad); stroke-dasharray: 5 4; } svg polyline { fill: none; stroke-width: 2; }
"""
_NAMES = {
    "canary_requests": "requests to the canary",
    "failed": "failed because of it",
    "lost": "of them never answered",
    "bake_requests": "requests after the promotion, in the bake time",
    "bake_failed": "failed in the bake time",
    "bake_lost": "of them never answered",
}


def render(facts: dict[str, Any]) -> str:
    """The page of one report's facts (`coalmine.release.report.gather`)."""
    title = f"{facts['model']} {facts['release']}"
    span = f"{_time(facts['started'])} to {_time(facts['ended'])} ({facts['seconds']:.1f} s)"
    commit = f"<code>{escape(facts['commit'][:12])}</code>"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="soft">attempt {facts["attempt"]}, {span}, asked for by commit {commit}</p>',
        f'<p class="verdict {escape(facts["verdict"])}">{escape(facts["sentence"])}</p>',
        _missing(facts["missing"]),
        _section("What changed", _changed(facts)),
        _section("Weights over time", _weights(facts)),
        _section("Evidence over time", _evidence(facts)),
        _section("What it cost users", _cost(facts["cost"])),
        _section("What was done after the verdict", _table(("step", "result"), list(facts["closing"].items()))),
        f'<p class="soft">written {escape(facts["written"])}; the same as JSON lies beside this file</p>',
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}: {escape(facts['verdict'])}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(filter(None, parts))
        + "\n</body>\n</html>\n"
    )


def _section(title: str, body: str) -> str:
    return f"<h2>{escape(title)}</h2>\n{body}"


def _missing(what: str) -> str:
    return (
        f'<p class="missing">Not complete: {escape(what)}. It is written again when that is known.</p>' if what else ""
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[object]], *, numbers: bool = False) -> str:
    """Cells are text; with `numbers` all columns but the first are set right."""
    if not rows:
        return '<p class="soft">nothing yet</p>'
    kind = [' class="number"' if numbers and column else "" for column in range(len(head))]
    top = "".join(f"<th{kind[i]}>{escape(name)}</th>" for i, name in enumerate(head))
    lines = ["".join(f"<td{kind[i]}>{escape(str(cell))}</td>" for i, cell in enumerate(row)) for row in rows]
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="wide"><table>\n<tr>{top}</tr>\n{body}\n</table></div>'


def _changed(facts: dict[str, Any]) -> str:
    rows = [
        (
            row["field"].replace("_", " "),
            _short(row["before"]),
            _short(row["after"]) + ("" if row["differs"] else " (same)"),
        )
        for row in facts["changed"]
    ]
    return _table(("", facts["before"] or "nothing before", facts["release"]), rows)


def _weights(facts: dict[str, Any]) -> str:
    points = [(float(row["t"]) - facts["started"], float(row["weight"])) for row in facts["weights"]]
    if not points:
        return '<p class="soft">The canary never got traffic.</p>'
    points.append((max(facts["ended"] - facts["started"], points[-1][0]), points[-1][1]))
    line = Line("canary", points, step=True)
    return _figure(
        [line], "percent of the traffic", caption="Seconds since the attempt began.", top=100.0, until=facts["seconds"]
    )


def _evidence(facts: dict[str, Any]) -> str:
    analysis, curves = facts["evidence"], facts["curves"]
    if not analysis:
        return f'<p class="soft">{"Not known yet." if facts["missing"] else "There was nothing to compare with."}</p>'
    lines = [Line(name, [(t - facts["started"], value) for t, value in points]) for name, points in curves.items()]
    threshold = float(analysis["threshold_rollback"])
    caption = "Natural logarithm of the evidence that the canary is worse; the mean above the dashed line rolls back."
    given = {"threshold": threshold, "until": facts["seconds"]}
    drawn = _figure(lines, "evidence (ln)", caption=caption, **given) if lines else ""
    head = ("metric", "canary bad", "of", "primary bad", "of", "evidence worse (ln)", "evidence not worse (ln)")
    rows = [
        (name, m["e_c"], m["n_c"], m["e_b"], m["n_b"], _number(m["log_e_rollback"]), _number(m["log_e_promote"]))
        for name, m in analysis["metrics"].items()
    ]
    said = f"<p>The judge: {escape(str(analysis['decision']))}. {escape(str(analysis['reason']))}</p>"
    return said + drawn + _table(head, rows, numbers=True)


def _figure(lines: Sequence[Line], name: str, *, caption: str, **given: float) -> str:
    return f"<figure>{chart(lines, name=name, **given)}<figcaption>{escape(caption)}</figcaption></figure>"


def _cost(cost: dict[str, int]) -> str:
    shown = [(label, f"{cost[key]:,}") for key, label in _NAMES.items() if cost[key] or not key.startswith("bake")]
    return _table(("", "requests"), shown, numbers=True)


def _short(value: object) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= 16 else f"{text[:12]}..."


def _number(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, int | float) and math.isfinite(value) else "-"


def _time(t: float) -> str:
    return datetime.fromtimestamp(t, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
