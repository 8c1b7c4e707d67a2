"""CM128: an alert is sent to a provider that is not there."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import CANARY, together
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.lint.tree import at, maps


def check(estate: Estate) -> Iterator[Hit]:
    for canary in estate.kind("Canary"):
        for index, alert in maps(canary.data, "spec", "analysis", "alerts"):
            name = str(at(alert, "providerRef", "name") or "")
            namespace = str(at(alert, "providerRef", "namespace") or canary.namespace)
            if estate.knows("AlertProvider", namespace) and estate.find("AlertProvider", namespace, name) is None:
                path = ("spec", "analysis", "alerts", index, "providerRef")
                yield canary.hit(path, f"there is no AlertProvider {namespace}/{name}")


_ALERTED = CANARY + "    alerts: [{name: team, severity: warn, providerRef: {name: team}}]\n"
_PROVIDER = """\
apiVersion: flagger.app/v1beta1
kind: AlertProvider
metadata: {name: team, namespace: sentiment}
spec: {type: slack, channel: releases, secretRef: {name: team-webhook}}
"""

RULE = Rule(
    id="CM128",
    title="Alert provider that is not there",
    severity=Severity.ERROR,
    reason="Flagger logs the missing provider and goes on: nobody hears of a rollback.",
    remedy="Add the AlertProvider, or mend its name or namespace.",
    source="Flagger 1.44, pkg/controller/events.go",
    check=check,
    good=together(_ALERTED, _PROVIDER),
    bad=together(_ALERTED, swapped(_PROVIDER, "name: team,", "name: teams,")),
)
