"""CM401: a query asks for a series that nothing emits."""

from __future__ import annotations

from collections.abc import Iterator

from coalmine.lint.emitted import emitter
from coalmine.lint.estate import Estate
from coalmine.lint.examples import TEMPLATE
from coalmine.lint.queries import queries, recorded, series
from coalmine.lint.rule import Hit, Rule, Severity, swapped


def check(estate: Estate) -> Iterator[Hit]:
    own = recorded(estate)
    for query in queries(estate):
        for name in sorted(series(query.text)):
            if name not in own and not emitter(name):
                yield query.obj.hit(query.path, f"{query.title}nothing emits {name}")


RULE = Rule(
    id="CM401",
    title="Series that nothing emits",
    severity=Severity.ERROR,
    reason="A query on it returns nothing: as a canary's metric each look is a failed check, as an alert it never "
    "fires, as a panel it is empty, and none of them is an error.",
    remedy="Write the name as the program emits it; counters end in _total, histograms in _bucket, _sum, _count.",
    source="src/coalmine/lint/emitted.py: read in the programs' sources",
    check=check,
    good=TEMPLATE,
    bad=swapped(TEMPLATE, "coalmine_log_e_mean", "coalmine_log_evidence"),
)
