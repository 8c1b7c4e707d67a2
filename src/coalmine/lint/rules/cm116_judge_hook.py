"""CM116: a webhook's type is not the one that its URL of the judge answers."""

from __future__ import annotations

import re
from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import CANARY
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.lint.tree import maps

_HOOK = re.compile(r"/hooks/(?P<kind>[a-z-]+)/?$")


def check(estate: Estate) -> Iterator[Hit]:
    for canary in estate.kind("Canary"):
        for index, hook in maps(canary.data, "spec", "analysis", "webhooks"):
            match = _HOOK.search(str(hook.get("url", "")))
            kind = str(hook.get("type") or "rollout")
            if match and match["kind"] != kind:
                path = ("spec", "analysis", "webhooks", index, "type")
                yield canary.hit(path, f"{hook.get('name')} is of type {kind}, its URL answers {match['kind']}")


_HOOKS = """\
    webhooks:
      - {name: opens, type: confirm-rollout, url: "http://judge.coalmine:8090/hooks/confirm-rollout"}
      - {name: ready, type: pre-rollout, url: "http://judge.coalmine:8090/hooks/pre-rollout"}
      - {name: step, type: confirm-traffic-increase, url: "http://judge.coalmine:8090/hooks/confirm-traffic-increase"}
      - {name: promote, type: confirm-promotion, url: "http://judge.coalmine:8090/hooks/confirm-promotion"}
      - {name: rollback, type: rollback, url: "http://judge.coalmine:8090/hooks/rollback"}
      - {name: closes, type: post-rollout, url: "http://judge.coalmine:8090/hooks/post-rollout"}
"""

RULE = Rule(
    id="CM116",
    title="Webhook of another type",
    severity=Severity.ERROR,
    reason="A webhook without a type is a `rollout` hook, where each `not yet` is a failed check; one of another type "
    "gets the answer to another question.",
    remedy="Let `type` be the last part of the URL.",
    source="Flagger 1.44, pkg/controller/scheduler_hooks.go; src/coalmine/judge/hooks.py",
    check=check,
    good=CANARY + _HOOKS,
    bad=CANARY + swapped(_HOOKS, "type: confirm-traffic-increase, ", ""),
)
