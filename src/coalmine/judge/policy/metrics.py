"""What is judged: one class for each kind of metric, and what it takes as bad."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(gt=0, lt=1)]
Seconds = Annotated[float, Field(ge=0)]
Name = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]*$")]


@dataclass(frozen=True, slots=True)
class Margins:
    """What the engine needs of one metric: two odds ratios, its tolerated bad rate, the two error rates, and against
    which faults it bets.
    """

    odds_ratio_rollback: float = 1.25
    odds_ratio_promote: float = 2.0
    tolerated_rate: float | None = 0.01
    alpha: float = 0.01
    beta: float = 0.05
    faults: str = "any"


class Role(StrEnum):
    """What a metric may do: a guardrail rolls back and must pass before a promotion."""

    ROLLBACK = "rollback"
    GUARDRAIL = "guardrail"
    OBSERVE = "observe"


class Against(StrEnum):
    """What speaks for a rollback: worse than the primary, above the tolerated rate, or only both at once."""

    BASELINE = "baseline"
    TOLERATED = "tolerated"
    BOTH = "both"


class Part(BaseModel):
    """A piece of a policy: frozen, and an unknown name in it is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class MetricRules(Part):
    """What each kind of metric has."""

    role: Role = Role.GUARDRAIL
    weight: Annotated[float, Field(gt=0, description="share in the mean of e-values, before they are normalised")] = 1.0
    against: Against = Against.BASELINE
    odds_ratio_rollback: Annotated[float, Field(ge=1, le=100)] = 1.25
    odds_ratio_promote: Annotated[float, Field(gt=1, le=100)] = 2.0
    faults: Annotated[
        Literal["any", "plain"], Field(description="plain: odds ratios of 1.5 to 90 above odds_ratio_rollback alike")
    ] = "any"
    tolerated_rate: Share | None = None
    poll_outcomes: Annotated[int, Field(ge=1, le=10_000, description="a poll waits for this many in each arm")] = 10

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """The series that make up the metric, each with polls of its own; ("",) where there is just one."""
        return ("",)

    @model_validator(mode="after")
    def _needs_a_rate(self) -> MetricRules:
        if self.against is not Against.BASELINE and self.tolerated_rate is None:
            raise ValueError(f"against: {self.against} needs a tolerated_rate")
        return self


class Errors(MetricRules):
    """One outcome for each unit; bad: status >= 500, 499, a failure of the upstream. First attempts only."""

    kind: Literal["errors"] = "errors"
    weight: Annotated[float, Field(gt=0)] = 2.0
    tolerated_rate: Share | None = 0.01
    also_bad: tuple[Annotated[int, Field(ge=400, le=499)], ...] = ()


class Latency(MetricRules):
    """One outcome for each arm and slice of one second; bad: over `share` of its requests slower than the edge.

    `edge_seconds` is the edge of the objective; `more_edges` are compared with the baseline only.
    """

    kind: Literal["latency"] = "latency"
    against: Against = Against.BOTH
    tolerated_rate: Share | None = 0.25
    poll_outcomes: Annotated[int, Field(ge=1, le=10_000)] = 5
    edge_seconds: Annotated[float, Field(gt=0)] = 0.1
    more_edges: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(max_length=30)] = ()
    share: Share = 0.1
    slice_requests: Annotated[int, Field(ge=1, description="a slice grows by whole seconds until it holds these")] = 5

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """The objective's edge is "", each other edge its own number of seconds."""
        return ("", *(f"{edge:g}" for edge in self.more_edges))

    @model_validator(mode="after")
    def _edges_differ(self) -> Latency:
        if len(set(self.more_edges) | {self.edge_seconds}) != len(self.more_edges) + 1:
            raise ValueError("more_edges: each edge once, and none equal to edge_seconds")
        return self


class Feedback(MetricRules):
    """One outcome for each first vote on a prediction; bad: a thumb down. No vote is no data."""

    kind: Literal["feedback"] = "feedback"
    role: Role = Role.ROLLBACK


class Counts(MetricRules):
    """Events over an exposure (fallbacks, restarts, retries a request, a second): a poll's n is the exposure, its e
    the events, and e may be above n. The odds ratio is the ratio of the two rates.
    """

    kind: Literal["counts"] = "counts"
    role: Role = Role.ROLLBACK
    against: Literal[Against.BASELINE] = Against.BASELINE
    tolerated_rate: None = None


class Paired(MetricRules):
    """Shadow traffic: both arms answered the same requests. n is the pairs, e where only this arm was bad."""

    kind: Literal["paired"] = "paired"
    role: Role = Role.ROLLBACK
    against: Literal[Against.BASELINE] = Against.BASELINE
    tolerated_rate: None = None


class Mix(MetricRules):
    """The shares of the predicted classes. A new model is meant to differ: bad is a class whose odds ratio lies
    beyond the margin, up or down.
    """

    kind: Literal["mix"] = "mix"
    role: Role = Role.ROLLBACK
    against: Literal[Against.BASELINE] = Against.BASELINE
    tolerated_rate: None = None
    odds_ratio_rollback: Annotated[float, Field(ge=1, le=100)] = 2.0
    odds_ratio_promote: Annotated[float, Field(gt=1, le=100)] = 3.0
    classes: Annotated[tuple[Name, ...], Field(min_length=2, max_length=100)]

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """The classes."""
        return self.classes

    @model_validator(mode="after")
    def _classes_differ(self) -> Mix:
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("classes: each class once")
        return self


class Score(MetricRules):
    """A bounded number for each outcome (a rating, a similarity): compared by its mean, in shares of `low`..`high`.

    A poll's e is the sum and its q the sum of squares of the badness (0 best, 1 worst), in millionths.
    """

    kind: Literal["score"] = "score"
    role: Role = Role.ROLLBACK
    against: Literal[Against.BASELINE] = Against.BASELINE
    tolerated_rate: None = None
    low: float = 0.0
    high: float = 1.0
    better: Literal["higher", "lower"] = "higher"
    margin_rollback: Annotated[float, Field(ge=0, lt=1, description="worse by more than this, of the range")] = 0.01
    margin_promote: Annotated[float, Field(gt=0, lt=1, description="shown to be worse by less than this")] = 0.05

    @model_validator(mode="after")
    def _has_a_range(self) -> Score:
        if self.high <= self.low:
            raise ValueError("high must be above low")
        if self.margin_promote <= self.margin_rollback:
            raise ValueError("margin_promote must be above margin_rollback")
        return self


class Resource(MetricRules):
    """Memory, CPU and the like of an arm's processes, sampled. Two parts: `limit` (a sample above `limit` is bad)
    and `growth` (a window in which the canary grew by more than the primary and `growth_margin` is bad: a leak).
    """

    kind: Literal["resource"] = "resource"
    role: Role = Role.ROLLBACK
    against: Literal[Against.TOLERATED] = Against.TOLERATED
    tolerated_rate: Share | None = 0.05
    poll_outcomes: Annotated[int, Field(ge=1, le=10_000)] = 1
    limit: Annotated[float | None, Field(gt=0, description="in the samples' own unit; none: no limit")] = None
    window_seconds: Annotated[float, Field(gt=0, description="growth is compared from window to window")] = 30.0
    growth_margin: Annotated[float, Field(ge=0, description="share of the level that a window may grow")] = 0.005

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """`limit` only where there is one."""
        return ("growth",) if self.limit is None else ("limit", "growth")


Metric = Annotated[Errors | Latency | Feedback | Counts | Paired | Mix | Score | Resource, Field(discriminator="kind")]
KINDS: dict[str, type[MetricRules]] = {
    "errors": Errors,
    "latency": Latency,
    "feedback": Feedback,
    "counts": Counts,
    "paired": Paired,
    "mix": Mix,
    "score": Score,
    "resource": Resource,
}
