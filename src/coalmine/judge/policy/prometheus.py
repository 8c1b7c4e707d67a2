"""Where a metric's counts come from when they are read from Prometheus."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from coalmine.judge.policy.metrics import Part
from coalmine.judge.profiles import PROFILES
from coalmine.judge.selectors import check


class Query(Part):
    """Selectors for one metric: raw series, never rate(), increase() or a sum; several are joined by `or`.

    {namespace}, {name} and {workload} are filled in, {workload} is the arm's; {arm} is the profile's own matcher for
    the arm. Which of the fields are needed depends on the metric's kind: total and bad for errors, feedback, counts
    (exposure and events) and paired; total with the label that names the class for mix; buckets for latency; value
    for resource.
    """

    total: str = ""
    bad: str = ""
    buckets: str = ""  # a histogram's series with `le`
    value: str = ""  # a gauge
    unit: Annotated[Literal["s", "ms", ""], Field(description="of the buckets' `le`; seconds if not given")] = ""
    label: Annotated[str, Field(pattern=r"^[a-zA-Z_]\w*$", description="a mix: the label with the class")] = "class"

    @field_validator("total", "bad", "buckets", "value")
    @classmethod
    def _is_a_selector(cls, text: str) -> str:
        if text:
            check(text)
        return text


class Prometheus(Part):
    """`profile` names a table of queries; `queries` adds to it or replaces parts of it, by metric."""

    profile: str = ""
    canary: str = "{name}"  # Flagger's names of the two workloads
    primary: str = "{name}-primary"
    release: Annotated[str, Field(description="series whose label `release` says what {workload} runs")] = ""
    every_seconds: Annotated[float, Field(ge=1, le=30)] = 10.0
    queries: dict[str, Query] = Field(default_factory=dict)

    @field_validator("release")
    @classmethod
    def _is_a_selector(cls, text: str) -> str:
        if text:
            check(text)
        return text

    @field_validator("profile")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name and name not in PROFILES:
            raise ValueError(f"no profile {name!r}; there are {', '.join(PROFILES)}")
        return name

    @model_validator(mode="after")
    def _has_arms(self) -> Prometheus:
        arms = PROFILES[self.profile].arms if self.profile else {}
        for metric, query in self.queries.items():
            if not arms and any("{arm}" in text for text in (query.total, query.bad, query.buckets, query.value)):
                raise ValueError(f"queries.{metric}: {{arm}} needs a profile that has a matcher for each arm")
        return self
