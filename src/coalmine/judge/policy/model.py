"""How a canary is judged, as data. An empty policy is a good one; what is given overrides the defaults part by part."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from coalmine.judge.policy.links import Link
from coalmine.judge.policy.metrics import Errors, Feedback, Latency, Margins, Metric, Name, Part, Role, Seconds
from coalmine.judge.policy.prometheus import Prometheus


def _defaults() -> dict[str, Metric]:
    return {"errors": Errors(), "latency": Latency(), "feedback": Feedback()}


class Bake(Part):
    """How long the old arm stays warm after a promotion, and the new one can still be sent back."""

    seconds: Seconds = 60.0


class Policy(Part):
    """Everything that may be decided about judging without changing code."""

    version: Literal[1] = 1
    alpha: Annotated[float, Field(gt=0, lt=0.5, description="chance that a healthy release is rolled back")] = 0.01
    beta: Annotated[float, Field(gt=0, lt=0.5, description="chance that one at the margin is promoted")] = 0.05
    metrics: dict[str, Metric] = Field(default_factory=_defaults)
    unit: Annotated[Literal["request", "user"], Field(description="what is routed: user where sticky")] = "request"
    unit_window_seconds: Annotated[
        float, Field(gt=0, description="a user's first vote counts if it comes this soon after the prediction")
    ] = 600.0
    prometheus: Prometheus = Prometheus()
    minimum_seconds: Seconds = 20.0
    maximum_seconds: Annotated[float, Field(gt=0)] = 3600.0
    poll_seconds: Annotated[float, Field(ge=0.1, le=30)] = 0.5
    fresh_seconds: Annotated[float, Field(ge=1)] = 45.0
    step_outcomes: Annotated[int, Field(ge=0, description="canary requests at a weight before the next")] = 50
    step_extra_failures: Annotated[float, Field(gt=0, description="what the next step may cost users")] = 5.0
    sample_ratio: Literal["pause", "alarm", "off"] = "pause"
    on_inconclusive: Literal["hold", "rollback"] = "hold"
    bake: Bake = Bake()
    silence_seconds: Seconds = 300.0
    drills: bool = False
    links: dict[Name, Link] = Field(default_factory=dict, max_length=10, description="shown with each release, by name")

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, data: Any) -> Any:
        """What is not named keeps its default, null takes it away; a metric's kind is its name unless it says so."""
        if not isinstance(data, dict) or not isinstance(data.get("metrics") or {}, dict):
            return data
        given = data.get("metrics") or {}
        metrics: dict[Any, Any] = {name: {"kind": name} for name in _defaults() if name not in given}
        for name, metric in given.items():
            if metric is not None:
                metrics[name] = {"kind": name, **metric} if isinstance(metric, dict) else metric
        return {**data, "metrics": metrics}

    @model_validator(mode="after")
    def _can_decide(self) -> Policy:
        if not any(metric.role is Role.GUARDRAIL for metric in self.metrics.values()):
            raise ValueError("no metric has the role guardrail, so nothing could ever be promoted")
        if self.maximum_seconds <= self.minimum_seconds:
            raise ValueError("maximum_seconds must be above minimum_seconds")
        return self

    def margins(self, name: str) -> Margins:
        return self._margins[name]

    @cached_property
    def _margins(self) -> dict[str, Margins]:
        return {
            name: Margins(
                odds_ratio_rollback=metric.odds_ratio_rollback,
                odds_ratio_promote=metric.odds_ratio_promote,
                tolerated_rate=metric.tolerated_rate,
                alpha=self.alpha,
                beta=self.beta,
                faults=metric.faults,
            )
            for name, metric in self.metrics.items()
        }

    def weights(self) -> dict[str, float]:
        """Shares in the mean of e-values; they sum to 1 over the metrics that may roll back."""
        active = {name: m.weight for name, m in self.metrics.items() if m.role is not Role.OBSERVE}
        total = sum(active.values())
        return {name: weight / total for name, weight in active.items()}
