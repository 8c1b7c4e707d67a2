"""CM305: a pod is killed while it still answers."""

from __future__ import annotations

import re
from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import CANARY, DEPLOYMENT, together
from coalmine.lint.objects import Container
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.lint.tree import at, integer, items, mapping

_SLEEP = re.compile(r"\bsleep\s+(\d+)")
_LEAST = 15  # seconds for requests under way: the edge's time-out for a prediction and some


def check(estate: Estate) -> Iterator[Hit]:
    for _, pod in estate.canary_pods():
        grace = integer(pod.spec.get("terminationGracePeriodSeconds"), 30)
        asleep = max((_asleep(one) for one in pod.lasting()), default=0)
        if asleep and grace < asleep + _LEAST:
            yield pod.hit(("spec", "terminationGracePeriodSeconds"), f"{grace} s, of which preStop takes {asleep} s")


def _asleep(container: Container) -> int:
    hook = mapping(container.data, "lifecycle", "preStop")
    words = " ".join(str(word) for word in items(hook, "exec", "command"))
    match = _SLEEP.search(words)
    return integer(at(hook, "sleep", "seconds"), int(match[1]) if match else 0)


RULE = Rule(
    id="CM305",
    title="Grace period too short",
    severity=Severity.ERROR,
    reason="preStop counts into the grace period: what remains of it must cover the longest request, or the pod is "
    "killed in the middle of an answer, after a 200 has been sent.",
    remedy="Let terminationGracePeriodSeconds be preStop's sleep, the service's time-out, and some.",
    source="Kubernetes, pod termination; BentoML 1.4: traffic.timeout",
    check=check,
    good=together(CANARY, DEPLOYMENT),
    bad=together(CANARY, swapped(DEPLOYMENT, "terminationGracePeriodSeconds: 90", "terminationGracePeriodSeconds: 20")),
)
