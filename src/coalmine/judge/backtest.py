"""Yesterday's polls under today's policy, and reference values recomputed: both by the very code that runs live."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from coalmine.errors import BadInput
from coalmine.judge import decide, evidence
from coalmine.judge.decide import Verdict
from coalmine.judge.fold import State, fold_all
from coalmine.judge.policy import Policy, Role
from coalmine.records import Decision, Poll

_COUNTS = ("n_c", "e_c", "n_b", "e_b")
TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class Backtest:
    """What would have been decided, and since when. `left_out`: metrics of the policy that the file does not hold."""

    verdict: Verdict
    first_promote: float | None
    polls: int
    left_out: tuple[str, ...]


def to_json(found: Backtest) -> dict[str, Any]:
    """The verdict's fields (decision, t, reason, metrics, ...) with the rest beside them."""
    rest = {"first_promote": found.first_promote, "polls": found.polls, "left_out": list(found.left_out)}
    return {**asdict(found.verdict), **rest}


def read_polls(path: Path) -> list[Poll]:
    """One JSON object a line; a line without `step` stays in the step of the line before.

    Raises:
        BadInput: no such file, or a line that is no poll; it names line and field.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(str(error), where=str(path), remedy="name a readable file of polls") from error
    polls: list[Poll] = []
    for number, text in enumerate(lines, start=1):
        if text.strip():
            polls.append(_poll(text, polls[-1].step if polls else 0, where=f"{path}:{number}"))
    return polls


def _poll(text: str, step: int, *, where: str) -> Poll:
    remedy = 'a poll is {"t": seconds, "metric": name, "n_c": .., "e_c": .., "n_b": .., "e_b": ..[, "step": weight]}'
    try:
        row = json.loads(text)
        counts = {name: row[name] for name in _COUNTS}
        t, metric = float(row["t"]), str(row["metric"])
        step = row.get("step", step)
    except KeyError as error:
        raise BadInput(f"{error.args[0]} is missing", where=where, remedy=remedy) from error
    except (ValueError, TypeError, AttributeError) as error:
        raise BadInput(f"no poll: {error}", where=where, remedy=remedy) from error
    for name, value in (*counts.items(), ("step", step)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise BadInput(f"{name}: {value!r} is no count", where=where, remedy=remedy)
    if counts["e_c"] > counts["n_c"] or counts["e_b"] > counts["n_b"]:
        raise BadInput("more bad outcomes than outcomes", where=where, remedy=remedy)
    if not math.isfinite(t):
        raise BadInput("t: not a time", where=where, remedy=remedy)
    return Poll(t, metric, **counts, step=step)


def backtest(polls: Path, policy: Policy) -> Backtest:
    """Fold a file of polls and look at each of its times. Raises BadInput as read_polls, and for an unknown metric."""
    found = read_polls(polls)
    held = {poll.metric for poll in found}
    unknown = sorted(held - set(policy.metrics))
    if unknown or not found:
        what = f"the policy knows no metric {unknown[0]!r}" if unknown else "no poll in the file"
        raise BadInput(what, where=str(polls), remedy=f"its metrics are {', '.join(policy.metrics)}")
    left_out = tuple(name for name in policy.metrics if name not in held)
    policy = _without(policy, left_out)
    state, since, first = State(), found[0].t, None
    verdict = decide.judge(state, policy, found[0].t, opened=found[0].t)
    for t, group in groupby(found, key=lambda poll: poll.t):
        state = fold_all(group, policy, state)
        now = decide.judge(state, policy, t, opened=found[0].t)
        since = since if now.decision is verdict.decision else t
        first = t if first is None and now.decision is Decision.PROMOTE else first
        verdict = now
    final = verdict if verdict.decision is Decision.ROLLBACK else _at(verdict, since)
    return Backtest(final, first, len(found), left_out)


def _at(verdict: Verdict, t: float) -> Verdict:
    return Verdict(**{name: getattr(verdict, name) for name in Verdict.__slots__} | {"t": t})


def _without(policy: Policy, names: tuple[str, ...]) -> Policy:
    """A metric that was never recorded can neither speak nor be waited for."""
    observed = {name: policy.metrics[name].model_copy(update={"role": Role.OBSERVE}) for name in names}
    return policy.model_copy(update={"metrics": {**policy.metrics, **observed}})


def check(path: Path) -> float:
    """The largest difference between a file of reference values (golden.json's format) and this engine.

    Raises:
        BadInput: the file is not in that format.
    """
    try:
        cases = json.loads(path.read_text(encoding="utf-8"))
        return max(difference for case in cases for difference in _differences(case))
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise BadInput(
            f"no reference values: {error!r}", where=str(path), remedy="see golden.json for the format"
        ) from error


def _differences(case: dict[str, Any]) -> Iterator[float]:
    prior = evidence.priors(case["odds_ratio_rollback"], case["odds_ratio_promote"])
    likelihood, n, e = np.zeros(evidence.POINTS), 0, 0
    for poll, expected in zip(case["polls"], case["expect"], strict=True):
        n_c, e_c, n_b, e_b = poll
        likelihood = likelihood + evidence.fnch_log_pmf((n_c, e_c, n_b, e_b), prior.points)
        n, e = n + n_c, e + e_c
        promote = float(evidence.log_e_promote(likelihood, prior))
        tolerated = evidence.log_e_tolerated(n, e, case["tolerated_rate"])
        found = {
            "log_e_rollback": float(evidence.log_e_rollback(likelihood, prior)),
            "log_e_promote": promote,
            "log_e_tolerated": tolerated,
            "log_e_noninferior": evidence.log_e_noninferior(promote, tolerated),
        }
        yield from (abs(found[name] - expected[name]) for name in found)
        band = evidence.ends(evidence.confidence_mask(likelihood, prior, case["alpha"]))
        yield from (abs(a - b) for a, b in zip(band or (math.inf, math.inf), expected["cs"], strict=True))
