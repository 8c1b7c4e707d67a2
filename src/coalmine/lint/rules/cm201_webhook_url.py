"""CM201: a webhook's URL leads to no Service."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.addresses import in_cluster, unreachable
from coalmine.lint.estate import Estate
from coalmine.lint.examples import CANARY, JUDGE, SERVICE, together
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.lint.tree import maps


def check(estate: Estate) -> Iterator[Hit]:
    for canary in estate.kind("Canary"):
        for index, hook in maps(canary.data, "spec", "analysis", "webhooks"):
            problem = unreachable(estate, in_cluster(estate, str(hook.get("url", "")), canary.namespace))
            if problem:
                yield canary.hit(("spec", "analysis", "webhooks", index, "url"), f"{hook.get('name')}: {problem}")


_HOOKED = (
    CANARY
    + """\
    webhooks:
      - {name: notes, type: event, url: "http://judge.coalmine:8090/hooks/event", timeout: 5s}
      - {name: gate, type: confirm-promotion, url: "http://judge.coalmine:8090/approved", timeout: 5s}
"""
)
_GOOD = swapped(
    _HOOKED, '      - {name: notes, type: event, url: "http://judge.coalmine:8090/hooks/event", timeout: 5s}\n', ""
)

RULE = Rule(
    id="CM201",
    title="Webhook that reaches nobody",
    severity=Severity.ERROR,
    reason="A hook that cannot be reached is a no: the canary is held or fails, whatever the release is worth.",
    remedy="Let host and port of the URL be those of the Service, as `http://<service>.<namespace>:<port>/...`.",
    source="Flagger 1.44, pkg/controller/webhook.go; success is a status of 202 or less",
    check=check,
    good=together(_GOOD, SERVICE, JUDGE),
    bad=together(swapped(_GOOD, "judge.coalmine:8090", "judge.coalmine:80"), SERVICE, JUDGE),
)
