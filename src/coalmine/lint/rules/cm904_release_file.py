"""CM904: a release file that no program wrote."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.errors import BadInput
from coalmine.lint.estate import Estate
from coalmine.lint.examples import DIGEST
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.records import ReleaseId
from coalmine.release.file import ReleaseFile, locate, parse, render


def check(estate: Estate) -> Iterator[Hit]:
    for file in estate.files:
        if locate(file.path) is not None:
            try:
                meant = render(parse(file.text, at=file.path))
            except BadInput as error:
                yield file.hit(1, error.what)
                continue
            if meant != file.text:
                yield file.hit(1, "its bytes are not those of the release that it names")


_GOOD = "# file: gitops/apps/sentiment/release/production/kustomization.yaml\n" + render(
    ReleaseFile(
        "sentiment", "production", ReleaseId.parse("m7-0a1b2c3"), image="registry.example/sentiment", digest=DIGEST
    )
)

RULE = Rule(
    id="CM904",
    title="Release file by hand",
    severity=Severity.ERROR,
    reason="A release file is accepted only if its bytes are the rendering of a known release: the push check "
    "refuses this one, and healing would not find it again.",
    remedy="Let `coalmine release` write it; to go back, release the earlier one or `git revert`.",
    source="src/coalmine/release/file.py",
    check=check,
    good=_GOOD,
    bad=swapped(_GOOD, "kind: Component\n", "kind: Component\nnamePrefix: my-\n"),
)
