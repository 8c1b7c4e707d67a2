"""CM903: a stranger's code with this repository's secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.rule import Hit, Rule, Severity, swapped

_HEAD = re.compile(r"github\.event\.pull_request\.head|github\.head_ref|refs/pull/")


def check(estate: Estate) -> Iterator[Hit]:
    for file in estate.files:
        if ".github/workflows/" in f"/{file.path}" and re.search(
            r"^\s*-?\s*pull_request_target\b|\[.*pull_request_target", file.text, re.MULTILINE
        ):
            for number, line in file.lines():
                if re.search(r"\bref\s*:", line) and _HEAD.search(line):
                    yield file.hit(number, "checks out the pull request's code under pull_request_target")


_GOOD = """\
# file: .github/workflows/diff.yml
on: [pull_request]
permissions: {contents: read}
jobs:
  diff:
    runs-on: ubuntu-24.04
    steps:
      - uses: actions/checkout@08c6903cd8c0fde910a37f88322edcfb5dd907a8 # v5.0.0
        with: {ref: "${{ github.event.pull_request.head.sha }}"}
"""

RULE = Rule(
    id="CM903",
    title="Stranger's code with secrets",
    severity=Severity.ERROR,
    reason="pull_request_target runs with the base repository's token and secrets: code of a pull request that it "
    "checks out and runs can read and push them.",
    remedy="Use `pull_request`; let a second workflow, on workflow_run, write the comment.",
    source="GitHub, events that trigger workflows: pull_request_target",
    check=check,
    good=_GOOD,
    bad=swapped(_GOOD, "on: [pull_request]", "on: [pull_request_target]"),
)
