"""How a canary is judged, as data: `flagger/<model>/policy.yaml`, read into one frozen Policy.

An empty file is a good policy. What is given overrides the defaults part by part: `metrics: {errors: {weight: 4}}`
keeps the other metrics and the other fields. Names that do not exist are refused with their line.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from coalmine.errors import BadInput

Share = Annotated[float, Field(gt=0, lt=1)]
Seconds = Annotated[float, Field(ge=0)]


@dataclass(frozen=True, slots=True)
class Margins:
    """What the engine needs of one metric: two odds ratios, its tolerated bad rate, and the two error rates."""

    odds_ratio_rollback: float = 1.25
    odds_ratio_promote: float = 2.0
    tolerated_rate: float | None = 0.01
    alpha: float = 0.01
    beta: float = 0.05


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


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Metric(_Part):
    role: Role = Role.GUARDRAIL
    weight: Annotated[float, Field(gt=0, description="share in the mean of e-values, before they are normalised")] = 1.0
    against: Against = Against.BASELINE
    odds_ratio_rollback: Annotated[float, Field(ge=1, le=100)] = 1.25
    odds_ratio_promote: Annotated[float, Field(gt=1, le=100)] = 2.0
    tolerated_rate: Share | None = None
    poll_outcomes: Annotated[int, Field(ge=1, le=10_000, description="a poll waits for this many in each arm")] = 10

    @model_validator(mode="after")
    def _needs_a_rate(self) -> _Metric:
        if self.against is not Against.BASELINE and self.tolerated_rate is None:
            raise ValueError(f"against: {self.against} needs a tolerated_rate")
        return self


class Errors(_Metric):
    """One outcome for each request, first attempts only; bad: status >= 500, 499, a failure of the upstream."""

    kind: Literal["errors"] = "errors"
    weight: Annotated[float, Field(gt=0)] = 2.0
    tolerated_rate: Share | None = 0.01
    also_bad: tuple[Annotated[int, Field(ge=400, le=499)], ...] = ()


class Latency(_Metric):
    """One outcome for each arm and slice of one second; bad: over `share` of its requests slower than the edge."""

    kind: Literal["latency"] = "latency"
    against: Against = Against.BOTH
    tolerated_rate: Share | None = 0.25
    poll_outcomes: Annotated[int, Field(ge=1, le=10_000)] = 5
    edge_seconds: Annotated[float, Field(gt=0)] = 0.1
    share: Share = 0.1
    slice_requests: Annotated[int, Field(ge=1, description="a slice grows by whole seconds until it holds these")] = 5


class Feedback(_Metric):
    """One outcome for each first vote on a prediction; bad: a thumb down. No vote is no data."""

    kind: Literal["feedback"] = "feedback"
    role: Role = Role.ROLLBACK


Metric = Annotated[Errors | Latency | Feedback, Field(discriminator="kind")]
KINDS: dict[str, type[Errors | Latency | Feedback]] = {
    "errors": Errors,
    "latency": Latency,
    "feedback": Feedback,
}


class Bake(_Part):
    """How long the old arm stays warm after a promotion, and the new one can still be sent back."""

    seconds: Seconds = 60.0


class Policy(_Part):
    """Everything that may be decided about judging without changing code."""

    version: Literal[1] = 1
    alpha: Annotated[float, Field(gt=0, lt=0.5, description="chance that a healthy release is rolled back")] = 0.01
    beta: Annotated[float, Field(gt=0, lt=0.5, description="chance that one at the margin is promoted")] = 0.05
    metrics: dict[str, Metric] = Field(default_factory=lambda: {name: kind() for name, kind in KINDS.items()})
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

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, data: Any) -> Any:
        """What is not named keeps its default; a metric's kind is its name unless it says otherwise."""
        if not isinstance(data, dict) or not isinstance(data.get("metrics", {}), dict):
            return data
        given = data.get("metrics", {})
        metrics: dict[Any, Any] = {name: {"kind": name} for name in KINDS if name not in given}
        for name, metric in given.items():
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
        metric = self.metrics[name]
        return Margins(
            odds_ratio_rollback=metric.odds_ratio_rollback,
            odds_ratio_promote=metric.odds_ratio_promote,
            tolerated_rate=metric.tolerated_rate,
            alpha=self.alpha,
            beta=self.beta,
        )

    def weights(self) -> dict[str, float]:
        """Shares in the mean of e-values; they sum to 1 over the metrics that may roll back."""
        active = {name: m.weight for name, m in self.metrics.items() if m.role is not Role.OBSERVE}
        total = sum(active.values())
        return {name: weight / total for name, weight in active.items()}


def load_policy(source: Path | str) -> Policy:
    """Read a policy from a file (a Path) or from YAML text (a str).

    Raises:
        BadInput: no such file, no YAML, an unknown field or a value out of range; it names line and field.
    """
    where = str(source) if isinstance(source, Path) else "policy"
    try:
        text = source.read_text(encoding="utf-8") if isinstance(source, Path) else source
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(str(error), where=where, remedy="name a readable YAML file") from error
    return _parse(text, where)


@lru_cache(maxsize=64)
def _parse(text: str, where: str) -> Policy:
    try:
        data = yaml.safe_load(text)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "no YAML"
        raise BadInput(str(problem), where=f"{where}{line}", remedy="mend the YAML") from error
    try:
        return Policy.model_validate({} if data is None else data)
    except ValidationError as error:
        raise _complaint(error.errors()[0], node, where) from error


def _complaint(first: Any, node: yaml.Node | None, where: str) -> BadInput:
    line, names = _place(node, first["loc"])
    field = ".".join(names) or "the whole"
    allowed = first.get("ctx", {}).get("expected") or first.get("ctx", {}).get("expected_tags")
    message = f"{field}: {first['msg']}" + (f" (expected {allowed})" if allowed else "")
    return BadInput(message, where=f"{where}:{line}", remedy="`coalmine judge schema` prints what a policy may hold")


def _place(node: yaml.Node | None, loc: tuple[int | str, ...]) -> tuple[int, list[str]]:
    """Line (from 1) and field of a pydantic location; parts that are no YAML key (a union's tag) are passed over."""
    line, names = 1, []
    for position, part in enumerate(loc):
        last = position == len(loc) - 1
        if isinstance(node, yaml.MappingNode):
            found = [(key, value) for key, value in node.value if key.value == str(part)]
            if found:
                line, node = found[0][0].start_mark.line + 1, found[0][1]
                names.append(str(part))
            elif last:
                names.append(str(part))
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
            names.append(str(part))
    return line, names


def schema() -> dict[str, Any]:
    """JSON Schema of a policy, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Policy.model_json_schema()}
