"""CM906: a policy that the judge refuses, or under which it can never decide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePath, PurePosixPath

from coalmine.errors import BadInput
from coalmine.lint.estate import Estate, File
from coalmine.lint.rule import Hit, Rule, Severity, swapped


def check(estate: Estate) -> Iterator[Hit]:
    texts = {PurePosixPath(file.path): file.text for file in estate.files}
    for file in estate.named("/policy.yaml"):
        if file.path.startswith("flagger/"):
            yield from _of_file(file, texts)


def _of_file(file: File, texts: Mapping[PurePosixPath, str]) -> Iterator[Hit]:
    from coalmine.judge.policy import read_policy  # noqa: PLC0415 (pydantic models of no use to other rules)

    def read(path: PurePath) -> str:
        if PurePosixPath(path) not in texts:
            raise BadInput("is not there", where=str(path), remedy="mend `extends`")
        return texts[PurePosixPath(path)]

    try:
        policy = read_policy(PurePosixPath(file.path), read=read)[1]
    except BadInput as error:
        line = error.where.rpartition(":")[2]
        yield file.hit(int(line) if line.isdigit() else 1, error.what)
        return
    try:
        from coalmine.judge.explain import impossible  # noqa: PLC0415 (it needs numpy and scipy, the extra `judge`)
    except ImportError:
        return
    for finding in impossible(policy):
        yield file.hit(1, finding.sentence)


_GOOD = """\
# file: flagger/sentiment/policy.yaml
version: 1
alpha: 0.01
"""

RULE = Rule(
    id="CM906",
    title="Policy that cannot judge",
    severity=Severity.ERROR,
    reason="The judge refuses a policy that it cannot read, and every canary with it; under one that can never be "
    "met no release is ever promoted, or none rolled back.",
    remedy="`coalmine judge schema` prints what a policy may hold, `coalmine plan` what it will do at your traffic.",
    source="src/coalmine/judge/policy; src/coalmine/judge/explain.py",
    check=check,
    good=_GOOD,
    bad=swapped(_GOOD, "alpha: 0.01", "alpha: 1.5"),
)
