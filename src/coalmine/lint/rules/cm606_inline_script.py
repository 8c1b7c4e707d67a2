"""CM606: a workflow holds code of its own."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.lint.tree import Path, at, maps


def check(estate: Estate) -> Iterator[Hit]:
    for workflow in estate.kind("Workflow", "WorkflowTemplate", "ClusterWorkflowTemplate", "CronWorkflow"):
        base: Path = ("spec", "workflowSpec") if workflow.kind == "CronWorkflow" else ("spec",)
        for index, template in maps(workflow.data, *base, "templates"):
            if at(template, "script", "source"):
                yield workflow.hit((*base, "templates", index, "script"), f"{template.get('name')} holds a script")


_GOOD = """\
apiVersion: argoproj.io/v1alpha1
kind: WorkflowTemplate
metadata: {name: retrain, namespace: sentiment}
spec:
  entrypoint: train
  templates:
    - name: train
      container: {image: registry.example/coalmine:1.0.0, command: [coalmine, train]}
"""

RULE = Rule(
    id="CM606",
    title="Code in a workflow",
    severity=Severity.WARNING,
    reason="A step written into one scheduler's file is not the one that the others run, and no test runs it.",
    remedy="Make it a step with a command, and call the command.",
    source="docs/explanation/architecture.md: each step is a function and a command",
    check=check,
    good=_GOOD,
    bad=swapped(
        _GOOD,
        "container: {image: registry.example/coalmine:1.0.0, command: [coalmine, train]}",
        "script: {image: registry.example/coalmine:1.0.0, command: [python], source: train()}",
    ),
)
