"""What a push looks like on the wire, and what a policy makes of it. No database, no HTTP."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from coalmine.judge.policy import Policy
from coalmine.judge.policy.metrics import Latency, Metric, Mix, Score
from coalmine.judge.sources import Outcomes

_Name = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
_Count = Annotated[int, Field(ge=0, le=1_000_000_000, strict=True)]
_Number = Annotated[float, Field(allow_inf_nan=False, ge=-1e15, le=1e15)]
_SHAPES = ("bad", "events", "sum", "value", "classes")
_TOTAL = 1_000_000  # a score's badness is counted in millionths


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PushedOutcome(_Body):
    """What one arm had of one metric. One of `bad`, `events`, `sum` with `squares`, `value`, `classes`, by its kind.

    `n` is how many there were in all: requests or users (with `bad`), slices (latency), the exposure (`events`), pairs,
    scores. A resource has a `value`, sampled at `t`; a class mix only `classes`, a map of counts.
    """

    id: Annotated[str, Field(max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$", description="a repetition is not counted")]
    t: Annotated[float, Field(gt=0, le=1e11, allow_inf_nan=False, description="Unix seconds")]
    metric: Annotated[str, Field(min_length=1, max_length=63)]
    arm: Literal["primary", "canary"]
    part: Annotated[str, Field(max_length=63)] = ""
    n: _Count = 0
    bad: _Count | None = None
    events: _Count | None = None
    sum: _Number | None = None
    squares: _Number | None = None
    value: _Number | None = None
    classes: Annotated[dict[str, _Count], Field(min_length=1, max_length=200)] | None = None
    release: Annotated[str, Field(max_length=253)] = ""
    weight: Annotated[int, Field(ge=0, le=100)] | None = None
    process: Annotated[str, Field(max_length=253, description="which of the arm's processes was sampled")] = ""

    @model_validator(mode="after")
    def _says_one_thing(self) -> PushedOutcome:
        given = [name for name in _SHAPES if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give one of {', '.join(_SHAPES)}, not {' and '.join(given) or 'none'}")
        if (self.sum is None) != (self.squares is None):
            raise ValueError("sum and squares belong together")
        if self.bad is not None and self.bad > self.n:
            raise ValueError(f"bad ({self.bad}) is above n ({self.n})")
        if self.events and not self.n:
            raise ValueError("events need the exposure n")
        return self


class Pushed(_Body):
    """The body of a push: outcomes of one Canary."""

    namespace: _Name
    name: _Name
    outcomes: Annotated[tuple[PushedOutcome, ...], Field(min_length=1, max_length=1000)]


def converted(one: PushedOutcome, policy: Policy, *, namespace: str, name: str) -> list[Outcomes]:
    """The outcomes that the policy's metric makes of it; samples of a resource are not its business.

    Raises:
        ValueError: the policy has no such metric or part, or its kind is told otherwise.
    """
    metric = policy.metrics.get(one.metric)
    if metric is None:
        raise ValueError(f"the policy has no metric {one.metric!r}; it has {', '.join(policy.metrics)}")
    if isinstance(metric, Latency) and one.part not in metric.parts:
        raise ValueError(f"{one.metric} has no part {one.part!r}; it has {', '.join(map(repr, metric.parts))}")
    if one.part and not isinstance(metric, Latency):
        raise ValueError(f"{one.metric} is pushed without a part")
    return [
        Outcomes(
            namespace, name, one.t, one.metric, one.arm, n, e, q, part=part, release=one.release, weight=one.weight
        )
        for part, n, e, q in _counts(one, metric)
    ]


def _counts(one: PushedOutcome, metric: Metric) -> list[tuple[str, int, int, int]]:
    if isinstance(metric, Mix) and one.classes is not None:
        n = sum(one.classes.values())
        return [(part, n, one.classes.get(part, 0), 0) for part in metric.parts] if n else []
    if isinstance(metric, Score) and one.sum is not None and one.squares is not None:
        return [("", one.n, *_badness(metric, one.n, one.sum, one.squares))] if one.n else []
    if metric.kind == "counts" and one.events is not None:
        return [("", one.n, one.events, 0)] if one.n else []
    if metric.kind in ("errors", "latency", "feedback", "paired") and one.bad is not None:
        return [(one.part, one.n, one.bad, 0)] if one.n else []
    wanted = {"mix": "classes", "score": "sum and squares", "counts": "events", "resource": "value"}
    raise ValueError(f"{one.metric} is of the kind {metric.kind}: push {wanted.get(metric.kind, 'bad')}")


def _badness(rules: Score, n: int, total: float, squares: float) -> tuple[int, int]:
    """Sums of badness and of its square in millionths, from sums of the scores themselves."""
    width = rules.high - rules.low
    best = rules.high if rules.better == "higher" else rules.low
    slack = 1e-6 * (n * width + abs(total))
    if not n * rules.low - slack <= total <= n * rules.high + slack:
        raise ValueError(f"sum: the mean {total / n:g} lies outside {rules.low:g} to {rules.high:g}")
    bad = abs(n * best - total) / width
    square = (n * best * best - 2 * best * total + squares) / width**2
    if not bad * bad / n - 1e-6 * n <= square <= bad + 1e-6 * n:
        raise ValueError("squares does not fit sum and n, with every score in the policy's range")
    e = min(n * _TOTAL, round(_TOTAL * bad))
    return e, min(e, max(math.ceil(e * e / (n * _TOTAL)), round(_TOTAL * square)))
