"""HTML from facts: the live page's inside and the report share templates, style and plots. No numpy here."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from coalmine.judge.report import plots, words
from coalmine.judge.report.chart import Drawing, svg

TEMPLATES = Path(__file__).parent / "templates"


@lru_cache(maxsize=4)
def environment(*more: Path) -> Environment:
    """Templates in `more` folders and here; everything is escaped but what was drawn here."""
    made = Environment(
        loader=FileSystemLoader([*more, TEMPLATES]), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    made.globals |= {
        "words": words,
        "plots": plots,
        "svg": _svg,
        "policy_text": policy_text,
        "style": Markup((TEMPLATES / "style.css").read_text(encoding="utf-8")),  # noqa: S704 (a file of ours)
    }
    return made


def report(facts: dict[str, Any]) -> str:
    """The judge's own report as one file: no script, no font, no request."""
    return environment().get_template("report.html").render(facts=facts, view=facts["analysis"], trace=facts["trace"])


def live(facts: dict[str, Any] | None, history: dict[str, Any]) -> str:
    """The inside of the live page: the chosen analysis (None: there is none yet) and the history."""
    return environment().get_template("live.html").render(facts=facts, history=history)


def policy_text(policy: dict[str, Any]) -> str:
    """The whole policy as one would write it."""
    return yaml.safe_dump(policy, sort_keys=False, allow_unicode=True, width=100)


def _svg(drawing: Drawing) -> Markup:
    return Markup(svg(drawing))  # noqa: S704 (svg escapes every text in it)
