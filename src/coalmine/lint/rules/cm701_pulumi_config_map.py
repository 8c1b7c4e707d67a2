"""CM701: a ConfigMap that Pulumi deletes before it makes the new one."""

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
                named = re.search(r"\bname\s*=|'name'\s*:", text)
                if named and "ignore_changes" not in text and "immutable" not in text:
                    yield file.hit(call.lineno, "a ConfigMap with a fixed name")


def _calls(file: File) -> Iterator[ast.Call]:
    try:
        tree = ast.parse(file.text)
    except SyntaxError:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name == "ConfigMap":
                yield node


_GOOD = """\
# file: infra/judge.py
from pulumi_kubernetes.core.v1 import ConfigMap

policies = ConfigMap("policies", metadata={"namespace": "coalmine"}, data=POLICIES)
"""

RULE = Rule(
    id="CM701",
    title="ConfigMap with a fixed name, in Pulumi",
    severity=Severity.ERROR,
    reason="For Pulumi a change of its data is a replacement, and with a fixed name it deletes first: pods that "
    "start in between do not find it.",
    remedy="Leave the name out (Pulumi adds a suffix, and rolls the pods that refer to it), or keep it in gitops/.",
    source="pulumi-kubernetes 4.34, tried against a real API server",
    check=check,
    good=_GOOD,
    bad=swapped(_GOOD, '{"namespace": "coalmine"}', '{"namespace": "coalmine", "name": "policies"}'),
)
