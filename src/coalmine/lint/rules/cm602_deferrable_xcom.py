"""CM602: a deferred pod whose result may be lost."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from coalmine.lint.estate import Estate, File
from coalmine.lint.rule import Hit, Rule, Severity, swapped


def check(estate: Estate) -> Iterator[Hit]:
    for file in estate.named(".py"):
        if "KubernetesPodOperator" in file.text:
            for call in _calls(file):
                given = {one.arg: one.value for one in call.keywords}
                if _true(given.get("deferrable")) and _true(given.get("do_xcom_push")):
                    yield file.hit(call.lineno, "deferrable, and its result goes through XCom")


def _calls(file: File) -> Iterator[ast.Call]:
    try:
        tree = ast.parse(file.text)
    except SyntaxError:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name == "KubernetesPodOperator":
                yield node


def _true(value: ast.expr | None) -> bool:
    return isinstance(value, ast.Constant) and value.value is True


_GOOD = """\
# file: pipelines/dags/retrain.py
train = KubernetesPodOperator(task_id="train", image=IMAGE, deferrable=True, do_xcom_push=False)
"""

RULE = Rule(
    id="CM602",
    title="XCom of a deferred pod",
    severity=Severity.ERROR,
    reason="While the task is deferred nobody holds the pod's sidecar: its result can be lost, and the next step runs "
    "without it.",
    remedy="Let results go through MLflow or object storage, `do_xcom_push=False`.",
    source="apache-airflow-providers-cncf-kubernetes, KubernetesPodOperator",
    check=check,
    good=_GOOD,
    bad=swapped(_GOOD, "do_xcom_push=False", "do_xcom_push=True"),
)
