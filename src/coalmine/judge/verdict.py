"""What is decided and why, as plain records: what the API, the page and the reports show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from coalmine.records import Decision


@dataclass(frozen=True, slots=True)
class Override:
    """What a person decided, at Unix time `t`. The evidence goes on being gathered, and may still roll back."""

    action: Literal["approve", "hold", "rollback"]
    who: str
    why: str
    t: float


@dataclass(frozen=True, slots=True)
class PartEvidence:
    """One edge, class or side of a metric."""

    part: str
    n_c: int
    e_c: int
    n_b: int
    e_b: int
    log_e: float | None  # against the baseline; None where the part is not compared
    odds_low: float | None
    odds_high: float | None


@dataclass(frozen=True, slots=True)
class MetricEvidence:
    """One metric as a person or a report wants it. Rates are None without data; `share` of the mean sums to 1.

    Counts are of the main part. `rate_*_low/high` and `odds_low/high` are confidence sequences, intersected as they
    ran; None without data, or where they came out empty. `difference_*` are those of a score's means.
    """

    name: str
    kind: str
    role: str
    n_c: int
    e_c: int
    n_b: int
    e_b: int
    rate_c: float | None
    rate_b: float | None
    rate_c_low: float | None
    rate_c_high: float | None
    rate_b_low: float | None
    rate_b_high: float | None
    log_e_rollback: float
    log_boost: float
    share: float
    log_e_promote: float
    log_e_tolerated: float | None
    log_e_noninferior: float
    log_e_last_step: float
    odds_low: float | None
    odds_high: float | None
    difference_low: float | None
    difference_high: float | None
    changed: bool
    passes: bool
    polls: int
    t: float
    baked_n: int
    baked_e: int
    log_e_bake: float
    parts: tuple[PartEvidence, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is decided at time `t` and why, in one sentence that holds the numbers."""

    decision: Decision
    t: float
    reason: str
    log_e_mean: float
    threshold_rollback: float
    threshold_promote: float
    metrics: tuple[MetricEvidence, ...]
