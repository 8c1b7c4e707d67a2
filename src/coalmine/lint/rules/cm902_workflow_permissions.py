"""CM902: a workflow with more rights than it names."""

from __future__ import annotations

import re
from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.rule import Hit, Rule, Severity, swapped


def check(estate: Estate) -> Iterator[Hit]:
    for file in estate.files:
        if ".github/workflows/" in f"/{file.path}" and file.path.endswith((".yml", ".yaml")):
            top = next((line for line in file.lines() if re.match(r"permissions\s*:", line[1])), None)
            if top is None:
                yield file.hit(1, "no `permissions` at the top")
            elif "write-all" in top[1]:
                yield file.hit(top[0], "write-all")


_GOOD = """\
# file: .github/workflows/ci.yml
permissions: {contents: read}
jobs:
  test:
    runs-on: ubuntu-24.04
    steps: [{run: make test}]
"""

RULE = Rule(
    id="CM902",
    title="Workflow without permissions",
    severity=Severity.ERROR,
    reason="Without the key the token may have the repository's defaults, often to write everything: a test's "
    "dependency could then write a release file.",
    remedy="Write `permissions: {contents: read}` at the top, and more in the one job that needs it.",
    source="GitHub, permissions for the GITHUB_TOKEN",
    check=check,
    good=_GOOD,
    bad=swapped(_GOOD, "permissions: {contents: read}\n", ""),
)
