"""Several policies and baselines on the same recordings, side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from coalmine.errors import BadInput
from coalmine.judge.backtest import baselines
from coalmine.judge.backtest.baselines import Said
from coalmine.judge.backtest.flagger import Flagger
from coalmine.judge.backtest.recorded import Recording
from coalmine.judge.backtest.replay import Backtest, Cost, cost_until, main_metric, replay
from coalmine.judge.fold import BAKED
from coalmine.judge.policy import Policy
from coalmine.judge.simulate import Ramp
from coalmine.records import Decision

Reader = Callable[[Policy], list[Recording]]  # what was recorded, cut by a policy's own rules
Z_TEST = "z-test at every look"


@dataclass(frozen=True, slots=True)
class Result:
    """What one policy or baseline makes of one recording. `after`: seconds from its opening to the decision, None
    without one. `outcome`: what really came of it, where that is known. The cost is what it was until then.
    """

    recording: str
    outcome: str
    by: str
    decision: Decision
    after: float | None
    reason: str
    cost: Cost
    trace: tuple[tuple[float, float], ...] = ()  # (seconds since opening, ln of the mean e-value to roll back)


@dataclass(frozen=True, slots=True)
class Compared:
    """`first`: the first policy on the first recording in full. `held`: the metrics that anything was recorded of.
    `undecided`: the policies without a verdict on the first recording, whose traffic was `observed`.
    """

    first: Backtest
    results: tuple[Result, ...]
    held: frozenset[str]
    undecided: frozenset[str] = frozenset()
    observed: Observed | None = None


@dataclass(frozen=True, slots=True)
class Observed:
    """Requests a second over both arms, the primary's rate of bad ones, and the ramp as it was walked."""

    rps: float
    error_rate: float
    ramp: Ramp


def observed(recording: Recording, *, metric: str) -> Observed | None:
    """None where the recording has no ramp that rises, or is too short to tell."""
    polls = [poll for poll in recording.polls if poll.metric == metric and not poll.part and poll.step != BAKED]
    weights = list(dict.fromkeys(poll.step for poll in polls))
    seconds = polls[-1].t - recording.opened if polls else 0.0
    n_b = sum(poll.n_b for poll in polls)
    if (
        not weights
        or weights != sorted(weights)
        or not 1 <= weights[0] <= weights[-1] <= 100
        or not n_b
        or seconds <= 0
    ):
        return None
    last = next((poll.t for poll in polls if poll.step == weights[-1]), recording.opened) - recording.opened
    interval = last / (len(weights) - 1) if len(weights) > 1 and last > 0 else seconds
    total = sum(poll.n_c + poll.n_b for poll in polls if poll.t > recording.opened)  # the rest came before it
    return Observed(total / seconds, sum(poll.e_b for poll in polls) / n_b, Ramp(tuple(weights), interval))


def compare(
    read: Reader, policies: Sequence[tuple[str, Policy]], *, flagger: Sequence[Flagger] = (), z_test: bool = False
) -> Compared:
    """Every policy on every recording. The baselines judge the polls that the first policy cut.

    Raises:
        BadInput: as the reader, replay and the baselines.
    """
    results: list[Result] = []
    first: Backtest | None = None
    recordings: list[Recording] = []
    known = {metric for _, policy in policies for metric in policy.metrics}
    for place, (name, policy) in enumerate(policies):
        read_now = read(policy)
        for recording in read_now:
            found = replay(recording, policy, known=known)
            first = first or found
            results.append(_of_policy(name, recording, found))
        recordings = recordings if place else read_now
    if first is None:
        raise BadInput("nothing was recorded", remedy="name a file of polls or an access log")
    for recording in recordings:
        results += _of_baselines(recording, policies[0][1], flagger, z_test=z_test)
    order = {recording.name: place for place, recording in enumerate(recordings)}
    results.sort(key=lambda result: order.get(result.recording, len(order)))
    held = frozenset(poll.metric for recording in recordings for poll in recording.polls)
    ended = (Decision.ROLLBACK, Decision.PROMOTE)
    on_first = [result for result in results if result.recording == recordings[0].name]
    undecided = frozenset(result.by for result in on_first if result.decision not in ended)
    seen = observed(recordings[0], metric=first.cost.metric)
    return Compared(first, tuple(results), held, undecided, seen)


def _of_policy(name: str, recording: Recording, found: Backtest) -> Result:
    verdict = found.verdict
    trace = tuple((t - recording.opened, log_e) for t, log_e in found.trace)
    after = None if verdict.decision is Decision.CONTINUE else verdict.t - recording.opened
    return Result(
        recording.name, recording.outcome, name, verdict.decision, after, found.said, found.cost, trace
    )  # fmt: skip


def _of_baselines(recording: Recording, policy: Policy, rules: Sequence[Flagger], *, z_test: bool) -> list[Result]:
    if not rules and not z_test:
        return []
    metric = main_metric(policy, recording.polls)
    said = [(f"Flagger: {one.name}", baselines.flagger(recording, one, metric=metric)) for one in rules]
    said += [(Z_TEST, baselines.z_test(recording, metric=metric))] if z_test else []
    return [_of_baseline(name, recording, one, metric=metric) for name, one in said]


def _of_baseline(name: str, recording: Recording, said: Said, *, metric: str) -> Result:
    cost = cost_until(recording.polls, said.t, metric=metric)
    after = None if said.decision is Decision.CONTINUE else said.t - recording.opened
    return Result(recording.name, recording.outcome, name, said.decision, after, said.reason, cost)
