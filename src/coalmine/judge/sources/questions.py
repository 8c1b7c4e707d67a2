"""What one policy asks of Prometheus for one Canary: the profile's selectors and its own, filled in for each arm."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from coalmine.errors import BadInput
from coalmine.judge.policy.metrics import Metric
from coalmine.judge.policy.model import Policy
from coalmine.judge.policy.prometheus import Query
from coalmine.judge.profiles import PROFILES
from coalmine.judge.selectors import ARMS, fill, split

_NEEDED = {
    "errors": ("total", "bad"),
    "feedback": ("total", "bad"),
    "counts": ("total", "bad"),
    "paired": ("total", "bad"),
    "latency": ("buckets",),
    "mix": ("total",),
    "resource": ("value",),
}
_SAME_FOR_BOTH = ("paired",)  # its pairs are those of both arms


@dataclass(frozen=True, slots=True)
class Question:
    """One use of some series. `group` keeps apart what one series counts for."""

    metric: str
    field: str
    arm: str
    selectors: tuple[str, ...]
    label: str = "class"
    scale: float = 1.0  # of a bucket's `le`, to seconds

    @property
    def group(self) -> str:
        return f"{self.metric}/{self.field}/{self.arm}"


def questions(policy: Policy, *, namespace: str, name: str) -> tuple[Question, ...]:
    """In the policy's order; none where it asks for nothing.

    Raises:
        BadInput: queries for a metric that there is not, that its kind cannot use, or that don't tell the arms apart.
    """
    for metric in policy.prometheus.queries:
        if metric not in policy.metrics:
            raise _wrong(metric, "the policy has no such metric", f"name one of {', '.join(policy.metrics)}")
    found: list[Question] = []
    for metric, rules in policy.metrics.items():
        query = _query(policy, metric, rules)
        if query is not None:
            found += _ask(policy, metric, query, kind=rules.kind, namespace=namespace, name=name)
    return tuple(found)


def weights(policy: Policy, *, namespace: str, name: str) -> dict[str, tuple[str, ...]]:
    """Selectors of Flagger's gauge by arm; none without a profile."""
    if not policy.prometheus.profile:
        return {}
    text = PROFILES[policy.prometheus.profile].weight
    return {arm: split(_filled(policy, text, arm, namespace=namespace, name=name)) for arm in ARMS}


def releases(policy: Policy, *, namespace: str, name: str) -> dict[str, tuple[str, ...]]:
    """Selectors of the series that name each arm's release; none without a profile or a selector in the policy."""
    rules = policy.prometheus
    text = rules.release or (PROFILES[rules.profile].release if rules.profile else "")
    return {arm: split(_filled(policy, text, arm, namespace=namespace, name=name)) for arm in ARMS} if text else {}


def _query(policy: Policy, metric: str, rules: Metric) -> Query | None:
    """The profile's selectors where it knows a metric of this name and kind, with the policy's own laid over them."""
    profile = policy.prometheus.profile
    table = PROFILES[profile].queries.get(metric) if profile and rules.kind == metric else None
    own = policy.prometheus.queries.get(metric)
    if table is None:
        return own
    given = {} if own is None else {key: value for key, value in own.model_dump().items() if value}
    return Query.model_validate({**table, **given})


def _ask(policy: Policy, metric: str, query: Query, *, kind: str, namespace: str, name: str) -> Iterator[Question]:
    if kind not in _NEEDED:
        raise _wrong(metric, f"a {kind} cannot be had from counters", "push it: it needs the sum of squares too")
    scale = 0.001 if query.unit == "ms" else 1.0
    for field in _NEEDED[kind]:
        text = str(getattr(query, field))
        if not text:
            raise _wrong(metric, f"{field} is missing", f"a metric of the kind {kind} needs {', '.join(_NEEDED[kind])}")
        if "{workload}" not in text and "{arm}" not in text and (kind not in _SAME_FOR_BOTH or field == "bad"):
            raise _wrong(metric, f"{field} selects the same for both arms", "use {workload} in it")
        for arm in ARMS:
            selectors = split(_filled(policy, text, arm, namespace=namespace, name=name))
            yield Question(metric, field, arm, selectors, query.label, scale)


def _filled(policy: Policy, text: str, arm: str, *, namespace: str, name: str) -> str:
    rules = policy.prometheus
    workload = (rules.canary if arm == "canary" else rules.primary).replace("{name}", name)
    matcher = PROFILES[rules.profile].arms.get(arm, "") if rules.profile else ""
    return fill(text, namespace=namespace, name=name, workload=workload, arm=matcher)


def _wrong(metric: str, what: str, remedy: str) -> BadInput:
    return BadInput(what, where=f"policy: prometheus.queries.{metric}", remedy=remedy)
