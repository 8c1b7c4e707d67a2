"""Where a metric's counts come from when they are read from Prometheus."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from coalmine.judge.policy.metrics import Part


class Query(Part):
    """PromQL for one metric: raw counters, never rate() or increase(). {namespace}, {name} and {workload} are filled
    in; {workload} is the arm's. Which of the fields are needed depends on the metric's kind.
    """

    total: str = ""
    bad: str = ""
    buckets: str = ""  # a histogram's series with `le`, in seconds
    value: str = ""  # a gauge


class Prometheus(Part):
    """`profile` names a table of queries; `queries` adds to it or replaces parts of it, by metric."""

    profile: str = ""
    canary: str = "{name}"  # Flagger's names of the two workloads
    primary: str = "{name}-primary"
    every_seconds: Annotated[float, Field(ge=1, le=30)] = 10.0
    queries: dict[str, Query] = Field(default_factory=dict)
