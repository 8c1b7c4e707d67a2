"""CM322: a Secret's content is in git."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.rule import Hit, Rule, Severity
from coalmine.lint.tree import mapping


def check(estate: Estate) -> Iterator[Hit]:
    for secret in estate.kind("Secret"):
        for field in ("data", "stringData"):
            filled = [str(key) for key, value in mapping(secret.data, field).items() if value]
            if filled:
                yield secret.hit((field,), f"{', '.join(filled)} in git")


_GOOD = """\
apiVersion: v1
kind: Secret
metadata: {name: feedback-key, namespace: coalmine}
type: Opaque
"""

RULE = Rule(
    id="CM322",
    title="Secret in git",
    severity=Severity.ERROR,
    reason="Whoever reads the repository, or any clone of it ever made, has it; git does not forget.",
    remedy="Take it out and make a new one: outside of git, by a Job, cert-manager, sealed or external secrets.",
    source="Kubernetes, good practices for Secrets",
    check=check,
    good=_GOOD,
    bad=_GOOD + "stringData: {key: MDEyMzQ1Njc4OWFiY2RlZg==}\n",
)
