"""One self-contained HTML page of a look: no script, no font, no request. The judge serves it on one machine."""

from __future__ import annotations

import math
import time
from pathlib import Path

from coalmine.drift import plots
from coalmine.drift.health import Health
from coalmine.judge.report.page import environment

_TONES = {"alarm": "bad", "healthy": "good", "no data": "wait"}


def render(found: Health) -> str:
    """Every text in it is escaped: tenants' names and labels are other people's."""
    made = environment(Path(__file__).parent / "templates").get_template("drift.html")
    at = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(found.made_at))
    return made.render(found=found, at=at, tones=_TONES, evidence=plots.evidence, odds=_odds)


def _odds(log: float) -> str:
    return f"{math.exp(log):,.3g}:1" if log >= 0 else f"1:{math.exp(-log):,.3g}"
