"""Tables for people: what `backtest` and `plan` found, as text that fits the terminal (100 columns in a pipe)."""

from __future__ import annotations

import io
import shutil
import textwrap
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from coalmine.judge.backtest import Backtest, Result
from coalmine.judge.explain import Finding
from coalmine.judge.plan import Outlook


def verdict_lines(found: Backtest) -> list[str]:
    """One policy on one recording: no table."""
    verdict, cost = found.verdict, found.cost
    seen = f"{cost.canary_requests:,} canary outcomes of {cost.metric}, {cost.canary_failures:,} bad"
    return [
        f"{verdict.decision} at t = {verdict.t:.3f}: {verdict.reason}",
        f"until then {seen}: {cost.extra_failures:+.1f} against the primary's rate",
    ]


def rows(results: Sequence[Result]) -> list[str]:
    """One row a result; the reasons follow, since a sentence does not fit a cell."""
    many = len({result.recording for result in results}) > 1
    head = ["release"] if many else []
    table = _table([*head, "judged by", "decision"], ["after", "canary\nrequests", "bad", "extra\nbad"], results)
    for result in results:
        name = [f"{result.recording} ({result.outcome})" if result.outcome else result.recording] if many else []
        cost = result.cost
        counts = (f"{cost.canary_requests:,}", f"{cost.canary_failures:,}", f"{cost.extra_failures:,.1f}")
        table.add_row(*name, result.by, str(result.decision), duration(result.after), *counts)
    said = [f"{result.recording + ', ' if many else ''}{result.by}: {result.reason}" for result in results]
    return [*_printed(table), "", *(line for sentence in said for line in _wrapped(sentence))]


def plan_lines(outlooks: Sequence[Outlook]) -> list[str]:
    """One row for each canary and judge."""
    numbers = ["rolled\nback", "99 %\nbound", "promoted", "canary\nrequests", "bad", "time,\nmedian", "90 %\nby"]
    table = _table(["canary", "judged by"], numbers, outlooks)
    before = None
    for one in outlooks:
        if before is not None and one.rate != before:
            table.add_section()
        table.add_row(
            "" if one.rate == before else "healthy" if one.healthy else f"{_percent(one.rate)} bad",
            one.by,
            _percent(one.rolled_back),
            f"< {_percent(one.rolled_back_high)}" if one.healthy else "",
            _percent(one.promoted),
            _number(one.mean_requests),
            _number(one.mean_failures),
            duration(one.median_seconds),
            duration(one.p90_seconds),
        )
        before = one.rate
    return _printed(table)


def finding_lines(found: Sequence[tuple[str, Finding]]) -> list[str]:
    """What can never happen, and what to change."""
    lines: list[str] = []
    for by, finding in found:
        lines += ["", *_wrapped(f"{by}: {finding.sentence}"), *_wrapped(f"  remedy: {finding.remedy}")]
    return lines


def duration(seconds: float | None) -> str:
    """In the unit in which people say it."""
    if seconds is None:
        return "-"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def _table(names: Sequence[str], numbers: Sequence[str], judged: Sequence[Result] | Sequence[Outlook]) -> Table:
    """Who judged gets the room that the longest name needs, up to 28 columns; headers break first."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    longest = max(len(one.by) for one in judged)
    for name in names:
        table.add_column(name, overflow="fold", min_width=min(longest, 28) if name == "judged by" else None)
    for name in numbers:
        table.add_column(name, justify="right")
    return table


def _printed(table: Table) -> list[str]:
    written = io.StringIO()
    Console(file=written, width=_width(), color_system=None).print(table)
    return [line.rstrip() for line in written.getvalue().strip("\n").splitlines()]


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _width(), subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _width() -> int:
    return shutil.get_terminal_size((100, 24)).columns
