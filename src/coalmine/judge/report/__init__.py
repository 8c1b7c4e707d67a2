"""The report on one analysis, for a post-mortem or a manager: facts as JSON, one HTML file, a PNG of the main plot.

Only `facts` needs the engine; `html` and `png` take plain JSON, so a controller can draw what a judge has answered.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coalmine.judge.live import Live

Facts = dict[str, Any]


def facts(live: Live, now: float, *, events: Sequence[Facts] = (), overrides: Sequence[Facts] = ()) -> Facts:
    """Everything that the report says, as plain JSON. Times are Unix seconds, rates shares, evidence natural logs."""
    from coalmine.judge.report.gather import gather  # noqa: PLC0415 (it imports numpy; who only draws has none)

    return gather(live, now, events=events, overrides=overrides)


def html(facts: Facts) -> str:
    """One self-contained file."""
    from coalmine.judge.report.page import report  # noqa: PLC0415 (templates are loaded by who asks for a page)

    return report(facts)


def png(facts: Facts) -> bytes:
    """The main plot with its verdict above it."""
    from coalmine.judge.report.picture import main_plot  # noqa: PLC0415 (as above)
    from coalmine.judge.report.pixels import paint  # noqa: PLC0415 (as above)

    return paint(main_plot(facts["title"], facts["sentence"], facts["analysis"], facts["trace"]))
