"""docs/reference/lint.md, out of the rules themselves."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping

from coalmine.lint.rule import Rule

_LONGEST = 160  # characters of a line: an example that is large on purpose is cut here
AREAS = {
    "0": "Silencing",
    "1": "Flagger's Canary",
    "2": "The way of a request",
    "3": "The pod",
    "4": "What is measured",
    "5": "Packages and MLflow",
    "6": "Schedulers",
    "7": "Pulumi",
    "8": "Argo CD and namespaces",
    "9": "Files of the repository",
}
_HEAD = """\
# Rules of `coalmine lint`

Written from the rules in `src/coalmine/lint/rules/`, one a file: `.venv/bin/python tests/unit/lint/page.py` writes this
page anew, and a test fails where it is out of date. How to run it, and what to do with what it finds:
[Lint manifests](../how-to/lint.md).

An error bites for certain, a warning under conditions that no file shows. Each example below goes from what is found
(`-`) to what is not (`+`). References across objects are looked at only where their other side is rendered as well:
in a cluster with all its Applications, all of them are.
"""


def page(rules: Mapping[str, Rule]) -> str:
    """The whole page: a table of the rules by area, then each."""
    parts = [_HEAD]
    for area, title in AREAS.items():
        rows = [
            f"| [{rule.id}](#{_anchor(rule)}) | {rule.severity} | {_escaped(rule.title)} |" for rule in _of(rules, area)
        ]
        parts.append("\n".join([f"## {title}", "", "| rule | severity | what |", "|---|---|---|", *rows]) + "\n")
    parts += [_section(rule) for rule in rules.values()]
    return "\n".join(parts)


def _of(rules: Mapping[str, Rule], area: str) -> Iterator[Rule]:
    yield from (rule for rule in rules.values() if rule.id[2] == area)


def _anchor(rule: Rule) -> str:
    """As forges make it of the heading."""
    kept = "".join(one for one in f"{rule.id} {rule.title}".lower() if one.isalnum() or one in " -_")
    return kept.strip().replace(" ", "-")


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def _section(rule: Rule) -> str:
    changes = difflib.unified_diff(rule.bad.splitlines(), rule.good.splitlines(), n=2, lineterm="")
    shown = [line[:_LONGEST] for line in changes if not line.startswith(("---", "+++", "@@"))]
    return "\n".join(
        [
            f"### {rule.id} {rule.title}",
            "",
            f"{rule.reason} ({rule.severity})",
            "",
            f"Remedy: {rule.remedy}",
            "",
            f"Source: {rule.source}",
            "",
            "```",
            *shown,
            "```",
            "",
        ]
    )
