"""The rules and dashboards of `gitops/platform/monitoring`, read; and the table of what is emitted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
RULES = ROOT / "gitops" / "platform" / "monitoring" / "rules"
DASHBOARDS = ROOT / "gitops" / "platform" / "monitoring" / "dashboards"
HERE = Path(__file__).parent
# What a scrape adds to any series, and what Prometheus makes of a clash without honor_labels.
ADDED = frozenset({"job", "instance", "pod", "namespace", "exported_namespace"})


@dataclass(frozen=True, slots=True)
class Rule:
    """One recording rule (`record`) or alert (`alert`)."""

    file: str
    name: str
    expr: str
    alert: bool
    labels: dict[str, str]
    annotations: dict[str, str]


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel."""

    dashboard: str
    panel: str
    expr: str


def rule_files() -> list[Path]:
    return sorted(path for path in RULES.glob("*.yaml") if path.name != "kustomization.yaml")


def rules() -> list[Rule]:
    return [
        Rule(
            path.name,
            str(one.get("alert") or one["record"]),
            one["expr"],
            "alert" in one,
            one.get("labels", {}),
            one.get("annotations", {}),
        )
        for path in rule_files()
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
        for one in group["rules"]
    ]


def boards() -> dict[str, dict[str, Any]]:
    """The dashboards by file name."""
    return {path.name: json.loads(path.read_text(encoding="utf-8")) for path in sorted(DASHBOARDS.glob("*.json"))}


def queries() -> Iterator[Query]:
    """Each panel's queries, with the variables filled in so that Prometheus can read them."""
    for name, board in boards().items():
        for panel in board["panels"]:
            for target in panel.get("targets", ()):
                yield Query(name, panel["title"], filled(target["expr"]))


def filled(expr: str, *, namespace: str = ".+", name: str = ".+") -> str:
    """As Grafana fills in the variables of these dashboards."""
    return expr.replace("$namespace", namespace).replace("$name", name)


def emitted() -> dict[str, frozenset[str]]:
    """Each series that a program emits, with its own labels."""
    found: dict[str, frozenset[str]] = {}
    for job in yaml.safe_load((HERE / "emitted.yaml").read_text(encoding="utf-8")).values():
        for name, labels in {**job.get("counters", {}), **job.get("gauges", {})}.items():
            found[name] = frozenset(labels)
        for name, labels in job.get("histograms", {}).items():
            found |= {f"{name}_sum": frozenset(labels), f"{name}_count": frozenset(labels)}
            found[f"{name}_bucket"] = frozenset({*labels, "le"})
    return found
