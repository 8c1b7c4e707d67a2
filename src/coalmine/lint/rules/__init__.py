"""One rule a file, `cm<number>_<what>.py`, found by its name. Hundreds by area:

0 the silencing itself, 1 Flagger's Canary, 2 the way of a request, 3 the pod, 4 what is measured, 5 packages and
MLflow, 6 schedulers, 7 Pulumi, 8 Argo CD and namespaces, 9 files of the repository.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from coalmine.lint.rule import Rule


def _found() -> dict[str, Rule]:
    names = sorted(module.name for module in iter_modules(__path__) if module.name.startswith("cm"))
    rules: list[Rule] = [import_module(f"{__name__}.{name}").RULE for name in names]
    return {rule.id: rule for rule in rules}


RULES = _found()
