"""CM126: an absent judge ends a canary too soon or too late."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import CANARY
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.lint.tree import duration, integer, mapping, maps

_LEAST, _MOST = 120.0, 1800.0  # seconds; the policy's silence is 300


def check(estate: Estate) -> Iterator[Hit]:
    for canary in estate.kind("Canary"):
        analysis = mapping(canary.data, "spec", "analysis")
        judged = any("/hooks/" in str(hook.get("url", "")) for _, hook in maps(analysis, "webhooks"))
        interval = max(10.0, duration(analysis.get("interval")) or 60.0)
        ends = interval * (1 + integer(analysis.get("threshold"), 1))
        if judged and not _LEAST <= ends <= _MOST:
            yield canary.hit(("spec", "analysis", "threshold"), f"a dead judge ends a canary after {ends:g} s")


_JUDGED = (
    CANARY
    + """\
    webhooks:
      - {name: opens, type: confirm-rollout, url: "http://judge.coalmine:8090/hooks/confirm-rollout"}
      - {name: ready, type: pre-rollout, url: "http://judge.coalmine:8090/hooks/pre-rollout"}
      - {name: step, type: confirm-traffic-increase, url: "http://judge.coalmine:8090/hooks/confirm-traffic-increase"}
      - {name: promote, type: confirm-promotion, url: "http://judge.coalmine:8090/hooks/confirm-promotion"}
      - {name: rollback, type: rollback, url: "http://judge.coalmine:8090/hooks/rollback"}
      - {name: closes, type: post-rollout, url: "http://judge.coalmine:8090/hooks/post-rollout"}
"""
)

RULE = Rule(
    id="CM126",
    title="Threshold beside a judge",
    severity=Severity.WARNING,
    reason="Beside a judge the threshold is what ends a canary whose judge is gone: after (threshold + 1) x "
    "interval, since failed checks add up and are compared at the start of a tick. Below two minutes a "
    "restart of the judge rolls back a healthy release; above half an hour a bad one keeps its traffic.",
    remedy="Let (threshold + 1) x interval be about the policy's silence of five minutes: 30 with `interval: 10s`.",
    source="Flagger 1.44, pkg/controller/scheduler.go; docs/explanation/architecture.md",
    check=check,
    good=_JUDGED,
    bad=swapped(_JUDGED, "threshold: 30", "threshold: 3"),
)
