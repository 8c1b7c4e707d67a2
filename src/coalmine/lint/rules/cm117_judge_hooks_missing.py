"""CM117: the judge is asked some of its questions, and not the others."""

from __future__ import annotations

import re
from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import CANARY
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.lint.tree import maps

_HOOK = re.compile(r"/hooks/(?P<kind>[a-z-]+)/?$")
_WANTED = {
    "confirm-rollout": "a release that is quarantined is tried",
    "pre-rollout": "a canary that has no judge is begun",
    "confirm-traffic-increase": "the weight grows by the clock and not by evidence",
    "confirm-promotion": "a release is promoted without evidence",
    "rollback": "a verdict to roll back is not heard",
    "post-rollout": "the judge never learns that a rollout has ended",
}


def check(estate: Estate) -> Iterator[Hit]:
    for canary in estate.kind("Canary"):
        hooks = [hook for _, hook in maps(canary.data, "spec", "analysis", "webhooks")]
        judged = {match["kind"] for hook in hooks if (match := _HOOK.search(str(hook.get("url", ""))))}
        missing = set(_WANTED) - judged - {str(hook.get("type")) for hook in hooks}
        for kind in sorted(missing) if judged else ():
            yield canary.hit(("spec", "analysis", "webhooks"), f"no {kind} hook: {_WANTED[kind]}")


_HOOKS = """\
    webhooks:
      - {name: opens, type: confirm-rollout, url: "http://judge.coalmine:8090/hooks/confirm-rollout"}
      - {name: ready, type: pre-rollout, url: "http://judge.coalmine:8090/hooks/pre-rollout"}
      - {name: step, type: confirm-traffic-increase, url: "http://judge.coalmine:8090/hooks/confirm-traffic-increase"}
      - {name: promote, type: confirm-promotion, url: "http://judge.coalmine:8090/hooks/confirm-promotion"}
      - {name: rollback, type: rollback, url: "http://judge.coalmine:8090/hooks/rollback"}
      - {name: closes, type: post-rollout, url: "http://judge.coalmine:8090/hooks/post-rollout"}
"""
_ROLLBACK = '      - {name: rollback, type: rollback, url: "http://judge.coalmine:8090/hooks/rollback"}\n'

RULE = Rule(
    id="CM117",
    title="The judge is not asked everything",
    severity=Severity.ERROR,
    reason="A rollout is judged by all of the judge's hooks together; without one of them a part of the verdict is "
    "lost.",
    remedy="Add the webhook of that type.",
    source="src/coalmine/judge/hooks.py; docs/how-to/judge-beside-flagger.md",
    check=check,
    good=CANARY + _HOOKS,
    bad=CANARY + swapped(_HOOKS, _ROLLBACK, ""),
)
