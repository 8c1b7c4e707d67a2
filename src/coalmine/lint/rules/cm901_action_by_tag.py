"""CM901: a workflow runs whatever a tag names."""

from __future__ import annotations

import re
from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.rule import Hit, Rule, Severity, swapped

_USES = re.compile(r"^\s*-?\s*uses:\s*[\"']?(?P<what>[^\s\"'#]+)")


def check(estate: Estate) -> Iterator[Hit]:
    for file in estate.files:
        if ".github/workflows/" in f"/{file.path}" or file.path.endswith(("action.yml", "action.yaml")):
            for number, line in file.lines():
                match = _USES.match(line)
                if (
                    match
                    and not match["what"].startswith("./")
                    and not re.search(r"@(?:[0-9a-f]{40}|sha256:[0-9a-f]{64})$", match["what"])
                ):
                    yield file.hit(number, f"{match['what']} is not pinned by SHA")


_GOOD = """\
# file: .github/workflows/ci.yml
permissions: {contents: read}
jobs:
  test:
    runs-on: ubuntu-24.04
    steps:
      - uses: actions/checkout@08c6903cd8c0fde910a37f88322edcfb5dd907a8 # v5.0.0
"""

RULE = Rule(
    id="CM901",
    title="Action that is not pinned",
    severity=Severity.ERROR,
    reason="A tag can be moved to other code, which then runs with this repository's secrets and its right to write "
    "releases.",
    remedy="Pin by the commit's SHA, with the version as a comment.",
    source="GitHub, security hardening for GitHub Actions: third-party actions",
    check=check,
    good=_GOOD,
    bad=swapped(_GOOD, "08c6903cd8c0fde910a37f88322edcfb5dd907a8 # v5.0.0", "v5"),
)
