"""CM702: Pulumi waits for endpoints that never come."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from coalmine.lint.estate import Estate, File
from coalmine.lint.rule import Hit, Rule, Severity, swapped


def check(estate: Estate) -> Iterator[Hit]:
    for file in estate.named(".py"):
        if "pulumi_kubernetes" in file.text:
            for call in _calls(file):
                text = ast.unparse(call)
                if (
                    not re.search(r"\bselector\s*=|'selector'\s*:|ExternalName", text)
                    and "pulumi.com/skipAwait" not in text
                ):
                    yield file.hit(call.lineno, "a Service without a selector")


def _calls(file: File) -> Iterator[ast.Call]:
    try:
        tree = ast.parse(file.text)
    except SyntaxError:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            path = ast.unparse(node.func)
            if path == "Service" or path.endswith("core.v1.Service"):
                yield node


_GOOD = """\
# file: infra/edge.py
from pulumi_kubernetes.core.v1 import Service

judge = Service("judge", spec={"ports": [{"port": 8090}], "selector": {"app": "judge"}})
"""

RULE = Rule(
    id="CM702",
    title="Service that Pulumi waits for",
    severity=Severity.ERROR,
    reason="Pulumi waits until a Service has endpoints, ten minutes long, and then fails: one whose endpoints come "
    "later, or from elsewhere, never gets there.",
    remedy='Annotate it `pulumi.com/skipAwait: "true"`.',
    source="pulumi-kubernetes 4.34, await logic; tried",
    check=check,
    good=_GOOD,
    bad=swapped(_GOOD, ', "selector": {"app": "judge"}', ""),
)
