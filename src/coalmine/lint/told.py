"""Findings for people, and in SARIF 2.1.0 for a forge."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from coalmine.lint.rule import Finding, Rule

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_PAGE = "docs/reference/lint.md"


def lines(findings: Sequence[Finding], rules: Mapping[str, Rule]) -> list[str]:
    """By rule: its places, then why and what to do, once."""
    if not findings:
        return ["nothing found"]
    found: list[str] = []
    for rule, group in groupby(findings, key=lambda finding: finding.rule):
        found.append(f"{rule} {rules[rule].severity}: {rules[rule].title}")
        for one in group:
            place = f"{one.file}:{one.line}" if one.line else one.file
            found.append(f"  {place or '(given)'}  {one.object}  {one.field}".rstrip())
            found += textwrap.wrap(one.what, 110, initial_indent="    ", subsequent_indent="    ")
        found += textwrap.wrap(f"why: {rules[rule].reason}", 112, initial_indent="  ", subsequent_indent="       ")
        found += textwrap.wrap(f"remedy: {rules[rule].remedy}", 112, initial_indent="  ", subsequent_indent=" " * 10)
        found.append("")
    errors = sum(finding.severity == "error" for finding in findings)
    return [*found, f"{errors} errors, {len(findings) - errors} warnings; `coalmine lint --explain CM101` says more"]


def explained(rule: Rule) -> list[str]:
    """All that there is to say on one."""
    wrapped = [f"{rule.id} {rule.severity}: {rule.title}", ""]
    for name, text in (("why", rule.reason), ("remedy", rule.remedy), ("source", rule.source)):
        wrapped += textwrap.wrap(f"{name}: {text}", 112, subsequent_indent="  ")
    return [*wrapped, "", "bad:", *rule.bad.splitlines(), "", "good:", *rule.good.splitlines()]


def sarif(findings: Sequence[Finding], rules: Mapping[str, Rule], version: str) -> dict[str, Any]:
    """One run. A finding without a line is told at the file's first."""
    names = sorted({finding.rule for finding in findings})
    described = [_described(rules[name]) for name in names]
    driver = {"name": "coalmine lint", "version": version, "informationUri": _PAGE, "rules": described}
    results = [
        {
            "ruleId": one.rule,
            "ruleIndex": names.index(one.rule),
            "level": str(one.severity),
            "message": {"text": f"{one.object + ': ' if one.object else ''}{one.what}. {one.remedy}"},
            "locations": [_location(one)],
        }
        for one in findings
    ]
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]}


def _described(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.reason},
        "help": {"text": rule.remedy},
        "defaultConfiguration": {"level": str(rule.severity)},
    }


def _location(one: Finding) -> dict[str, Any]:
    region = {"startLine": one.line or 1, "startColumn": one.column}
    place = {"artifactLocation": {"uri": one.file or "-", "uriBaseId": "%SRCROOT%"}, "region": region}
    logical = {"fullyQualifiedName": f"{one.object} {one.field}".strip()}
    return {"physicalLocation": place, **({"logicalLocations": [logical]} if one.object else {})}
