"""CM905: a faulty release where drills are not allowed."""

from __future__ import annotations

import re
from collections.abc import Iterator

from coalmine.lint.estate import Estate, File
from coalmine.lint.examples import DIGEST
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.records import ReleaseId
from coalmine.release.file import FAULTS, ReleaseFile, locate, render


def check(estate: Estate) -> Iterator[Hit]:
    allowed = {file.path.split("/")[1] for file in estate.named("/policy.yaml") if _drills(file)}
    for file in estate.files:
        place = locate(file.path)
        if place is not None and FAULTS in file.text and place[0] not in allowed:
            line = next(number for number, text in file.lines() if FAULTS in text)
            yield file.hit(line, f"faults in {place[1]}, and flagger/{place[0]}/policy.yaml allows no drills")


def _drills(file: File) -> bool:
    return file.path.startswith("flagger/") and re.search(r"^drills:\s*true\b", file.text, re.MULTILINE) is not None


_POLICY = "# file: flagger/sentiment/policy.yaml\nversion: 1\ndrills: true\n"
_RELEASE = "# file: gitops/apps/sentiment/release/production/kustomization.yaml\n" + render(
    ReleaseFile(
        "sentiment",
        "production",
        ReleaseId.parse("m7-0a1b2c3"),
        faults="error_rate=0.05",
        image="registry.example/sentiment",
        digest=DIGEST,
    )
)

RULE = Rule(
    id="CM905",
    title="Drill where none is allowed",
    severity=Severity.ERROR,
    reason="A release with a fault put in on purpose reaches real users.",
    remedy="Release it without the fault, or allow drills in the model's policy.",
    source="docs/how-to/drill.md",
    check=check,
    good=_POLICY + _RELEASE,
    bad=swapped(_POLICY, "drills: true", "drills: false") + _RELEASE,
)
