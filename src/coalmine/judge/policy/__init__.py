"""How a canary is judged, as data: `flagger/<model>/policy.yaml`, read into one frozen Policy. No numpy here."""

from coalmine.judge.policy.metrics import (
    KINDS,
    Against,
    Counts,
    Errors,
    Feedback,
    Latency,
    Margins,
    MetricRules,
    Mix,
    Paired,
    Resource,
    Role,
    Score,
)
from coalmine.judge.policy.model import Bake, Policy
from coalmine.judge.policy.prometheus import Prometheus, Query
from coalmine.judge.policy.reading import load_policy, read_policy, schema

__all__ = [
    "KINDS",
    "Against",
    "Bake",
    "Counts",
    "Errors",
    "Feedback",
    "Latency",
    "Margins",
    "MetricRules",
    "Mix",
    "Paired",
    "Policy",
    "Prometheus",
    "Query",
    "Resource",
    "Role",
    "Score",
    "load_policy",
    "read_policy",
    "schema",
]
