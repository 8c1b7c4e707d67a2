"""CM119: a webhook may take longer than the time between two ticks."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import CANARY
from coalmine.lint.rule import Hit, Rule, Severity, swapped
from coalmine.lint.tree import duration, integer, maps


def check(estate: Estate) -> Iterator[Hit]:
    for canary in estate.kind("Canary"):
        interval = max(10.0, duration(canary.at("spec", "analysis", "interval")) or 60.0)
        for index, hook in maps(canary.data, "spec", "analysis", "webhooks"):
            length = duration(hook.get("timeout")) or 10.0
            tries = 1 + integer(hook.get("retries"), 0)
            if length * tries > interval:
                path = ("spec", "analysis", "webhooks", index, "timeout")
                yield canary.hit(path, f"{hook.get('name')}: {tries} x {length:g} s, with {interval:g} s between ticks")


_HOOKED = (
    CANARY
    + """\
    webhooks:
      - {name: gate, type: confirm-promotion, url: "http://gate.coalmine:8090/promote", timeout: 5s}
"""
)

RULE = Rule(
    id="CM119",
    title="Webhook longer than the interval",
    severity=Severity.WARNING,
    reason="Webhooks are called one after the other within a tick. A service that does not answer makes the ticks "
    "late, the rollback of a bad release too; 5xx is retried and its text is lost.",
    remedy="Give `timeout: 5s`, and fewer `retries`.",
    source="Flagger 1.44, pkg/controller/webhook.go",
    check=check,
    good=_HOOKED,
    bad=swapped(_HOOKED, "timeout: 5s", "timeout: 30s"),
)
