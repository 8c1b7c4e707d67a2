"""What the REST API answers, as models: the OpenAPI document is made of these. `views` fills them.

Fields may be added to an answer, so a reader must pass over what it does not know.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from coalmine.judge.overrides import Action


class Answer(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)


class Problem(Answer):
    """Why not, in a sentence, with the remedy where there is one."""

    detail: str


class Weight(Answer):
    """From `t` (Unix seconds) on, `weight` percent of the traffic went to the canary."""

    t: float
    epoch: int
    weight: int


class Evidence(Answer):
    """One metric: counts of both arms (c canary, b baseline), rates with bands, evidence as natural logarithms."""

    name: str
    kind: str
    role: str
    n_c: int
    e_c: int
    n_b: int
    e_b: int
    rate_c: float | None
    rate_b: float | None
    log_e_rollback: float
    share: float = Field(description="of the evidence to roll back")
    log_e_noninferior: float
    odds_low: float | None
    odds_high: float | None
    passes: bool
    polls: int
    t: float
    needs: int | None = Field(default=None, description="about so many canary outcomes more for a promotion")


class Overridden(Answer):
    """What a person said over the judge's head. `who` is the token's name, and the person where one was named."""

    analysis: int
    t: float
    action: Action
    who: str
    why: str


class Analysis(Answer):
    """One attempt to release: who, what is decided and why, and all the evidence."""

    id: int
    namespace: str
    name: str
    checksum: str
    attempt: int
    status: Literal["open", "baking", "closed"]
    outcome: str
    started: float
    ended: float | None
    release: str
    primary: str
    decision: Literal["ROLLBACK", "PROMOTE", "CONTINUE", "INCONCLUSIVE", "SUPERSEDED"]
    reason: str
    weight: int | None
    weights: list[Weight]
    canary_requests: int
    failed: int
    log_e_mean: float
    threshold_rollback: float
    threshold_promote: float
    metrics: dict[str, Evidence]
    steps: list[dict[str, Any]]
    policy: dict[str, Any]


class Counts(Answer):
    """One poll: the counts of one metric since the poll before."""

    t: float
    metric: str
    n_c: int
    e_c: int
    n_b: int
    e_b: int
    step: int
    part: str
    q_c: int
    q_b: int


class Event(Answer):
    """What a hook was answered, or a person said."""

    id: int
    analysis: int | None
    t: float
    kind: str
    answer: int
    text: str


class TracePoint(Answer):
    """The evidence after the polls of one moment."""

    t: float
    weight: int
    log_e_mean: float
    metrics: dict[str, dict[str, Any]]


class Checked(Answer):
    """A policy that reads well, with its defaults filled in."""

    ok: Literal[True] = True
    policy: dict[str, Any]


class Stored(Answer):
    """On disk. `already` were there before, by their ids, and are not counted twice."""

    stored: int
    already: int


class Vector(Answer):
    """Prometheus' answer to an instant query."""

    status: str
    data: dict[str, Any]
