"""Traps that a file can show, one rule a file in `rules/`: rendered manifests, their seams, and the files beside them.

`lint(objects)` is pure: plain data in, findings out. `coalmine.lint.gather` renders and reads what is linted.
"""

from coalmine.lint.rule import Finding, Rule, Severity
from coalmine.lint.rules import RULES
from coalmine.lint.run import lint

__all__ = ["RULES", "Finding", "Rule", "Severity", "lint"]
