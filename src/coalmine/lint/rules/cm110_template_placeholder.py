"""CM110: a query uses a placeholder that Flagger does not fill."""

from __future__ import annotations

import re
from collections.abc import Iterator

from coalmine.lint.estate import Estate
from coalmine.lint.examples import TEMPLATE
from coalmine.lint.rule import Hit, Rule, Severity, swapped

_PLACEHOLDER = re.compile(r"\{\{-?\s*([A-Za-z_][A-Za-z0-9_.]*)\s*-?\}\}")
_KNOWN = {"name", "namespace", "target", "service", "ingress", "route", "interval"}


def check(estate: Estate) -> Iterator[Hit]:
    for template in estate.kind("MetricTemplate"):
        for word in _PLACEHOLDER.findall(template.text("spec", "query")):
            if word not in _KNOWN and not word.startswith("variables"):
                yield template.hit(("spec", "query"), f"Flagger knows no {{{{ {word} }}}}")


RULE = Rule(
    id="CM110",
    title="Placeholder that Flagger does not know",
    severity=Severity.ERROR,
    reason="The query is a Go template; an unknown word fails the template at each tick, which is a failed check.",
    remedy="Use name, namespace, target, service, ingress, route, interval, or `variables` of the metric.",
    source="Flagger 1.44, pkg/metrics/observers/render.go and MetricTemplateModel.TemplateFunctions",
    check=check,
    good=TEMPLATE,
    bad=swapped(TEMPLATE, "{{ name }}", "{{ canary }}"),
)
