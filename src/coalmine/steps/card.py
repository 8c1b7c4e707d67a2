"""The model card: what a version was made from, how it does on each slice, and what it is not for. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from coalmine.records import Evaluation


@dataclass(frozen=True, slots=True)
class Facts:
    """What the tracking store knows of a run. `intended` is what the model's people write, in card.md of its folder."""

    model: str
    version: int
    params: Mapping[str, str]
    metrics: Mapping[str, float]  # `<slice>.<measure>`, and the champion's as `champion.<slice>.<measure>`
    tags: Mapping[str, str]
    intended: str = ""


def render(facts: Facts, evaluation: Evaluation) -> str:
    """Markdown for the registry's page on the version."""
    parts = [
        f"# {facts.model} {facts.version}",
        "## Data\n\n" + _table(_data(facts, evaluation), head=("what", "value")),
        "## Training\n\n" + _table(sorted(facts.params.items()), head=("parameter", "value")),
        "## Metrics by slice\n\nOn held-out rows; the champion of that day on the same rows.\n\n" + _metrics(facts),
        "## Gate\n\n" + _gate(evaluation),
        "## Limits\n\n" + (facts.intended.strip() or "Nobody has written what this model is not for."),
    ]
    return "\n\n".join(parts) + "\n"


def _data(facts: Facts, evaluation: Evaluation) -> list[tuple[str, str]]:
    candidate = evaluation.candidate
    sources = facts.tags.get("coalmine.sources", "")
    known = [("rows", source) for source in sources.split("; ") if source]
    known += [
        ("snapshot", candidate.snapshot or "none: nothing that people said"),
        ("dataset", candidate.dataset_digest),
        ("code", candidate.git_sha),
        ("environment", candidate.environment),
    ]
    known += [("model", facts.tags["coalmine.model_digest"])] if "coalmine.model_digest" in facts.tags else []
    return known


def _metrics(facts: Facts) -> str:
    own = {name: value for name, value in facts.metrics.items() if "." in name and not name.startswith("champion.")}
    rows = []
    for name, value in sorted(own.items()):
        before = facts.metrics.get(f"champion.{name}")
        shown = ("", "") if before is None else (f"{before:.3f}", f"{value - before:+.3f}")
        rows.append((name, f"{value:.3f}", *shown))
    return _table(rows, head=("slice and measure", "this", "champion", "difference"))


def _gate(evaluation: Evaluation) -> str:
    rows = [
        (check.name, f"{check.value:.3f}", f"{check.bound:.3f}", "passed" if check.passed else "failed")
        for check in evaluation.checks
    ]
    override = f"\n\nGone past by hand: {evaluation.override}" if evaluation.override else ""
    return _table(rows, head=("check", "value", "bound", "")) + override


def _table(rows: Sequence[tuple[str, ...]], *, head: tuple[str, ...]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in lines)
