"""What is measured: each regime is a function of (runs, seed) that gives rows of a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from bench.judge import delays, errors, others
from bench.judge.watching import lower, passed, upper, watch, z_test
from coalmine.judge.manyfold import Batch


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table. `holds` is None where there is no aim."""

    table: str
    what: str
    aim: str
    measured: str
    runs: int
    holds: bool | None = None


@dataclass(frozen=True, slots=True)
class Regime:
    """`measure(runs, seed)` with the number of runs that the figures in the docs come from."""

    measure: Callable[[int, int], list[Row]]
    runs: int


FALSE = "Healthy releases rolled back"
CATCH = "Mean canary requests to catch a fault"
OTHERS = "Other bets, and what any engine would take"
PASS = "Promotions"
THUMBS = "Thumbs: median votes of both arms"
LATENCY = "Latency: equal models rolled back"
LABELS = "Late labels, late faults, sticky users"


def _wrong(table: str, what: str, count: int, runs: int, *, most: float) -> Row:
    bound = upper(count, runs)
    shown = f"{count} ({100 * count / runs:.2f} %, at most {100 * bound:.2f} %)"
    return Row(table, what, f"<= {100 * most:g} % at the bound", shown, runs, bound <= most)


def _control(table: str, what: str, count: int, runs: int, *, least: float) -> Row:
    bound = lower(count, runs)
    shown = f"{count} ({100 * count / runs:.1f} %, at least {100 * bound:.1f} %)"
    return Row(table, what, f"> {100 * least:g} % at the bound", shown, runs, bound > least)


def healthy(regime: str, psi0: float, runs: int, seed: int) -> list[Row]:
    steps = errors.RAMP if regime.startswith("ramp") else (0,)
    found = watch(errors.policy(psi0), errors.healthy(regime, runs=runs, seed=seed), runs=runs, steps=steps)
    return [_wrong(FALSE, f"{regime}, psi0 = {psi0:g}", int(found.fired.sum()), runs, most=0.01)]


def control(runs: int, seed: int) -> list[Row]:
    fired = z_test(errors.healthy("plain", runs=runs, seed=seed), runs=runs)
    what = "negative control: a z-test at p < .01 at every look, plain"
    return [_control(FALSE, what, int(fired.sum()), runs, least=0.1)]


def caught(p_c: float, size: int, psi0: float, runs: int, seed: int) -> list[Row]:
    found = watch(errors.policy(psi0), errors.faulty(p_c, runs=runs, seed=seed, size=size), runs=runs)
    mean, limit = float(np.nanmean(found.canary)), errors.LIMITS[p_c]
    spread = 2.576 * float(np.nanstd(found.canary)) / found.fired.sum() ** 0.5
    aims = {(10, 0.01): 1.27, (10, 0.02): 1.25, (10, 0.05): 1.45, (10, 0.2): 1.9}
    aim = aims.get((size, p_c)) if psi0 == 1 else None
    missed = int((~found.fired).sum())
    shown = f"{mean:,.1f} +- {spread:,.1f}, {mean / limit:.2f}x" + (f", {missed} not caught" if missed else "")
    what = f"{100 * p_c:g} % errors, {size} a poll, psi0 = {psi0:g} (limit {limit:,.1f})"
    return [Row(CATCH, what, f"<= {aim}x" if aim else "", shown, runs, mean / limit <= aim if aim else None)]


def other(kind: type[Batch] | None, what: str, p_c: float, size: int, runs: int, seed: int) -> list[Row]:
    """As `caught` at psi0 = 1, by an engine that is not the judge's; None: the judge's, with `faults: plain`."""
    looks = errors.faulty(p_c, runs=runs, seed=seed, size=size)
    policy = errors.policy(1.0, faults="any" if kind else "plain")
    canary = watch(policy, looks, runs=runs, kind=kind or Batch).canary
    limit, spread = errors.LIMITS[p_c], 2.576 * float(np.nanstd(canary)) / runs**0.5
    shown = f"{np.nanmean(canary) / limit:.2f}x +- {spread / limit:.2f}"
    return [Row(OTHERS, f"{what}: {100 * p_c:g} % errors, {size} a poll", "", shown, runs)]


def margin(p_c: float, p_b: float, tolerated: float | None, runs: int, seed: int) -> list[Row]:
    policy = errors.policy(1.25, tolerated=tolerated)
    found = passed(policy, errors.at_margin(p_c, p_b, runs=runs, seed=seed), runs=runs)
    what = f"wrongly, at the margin: {100 * p_c:.3g} % against {100 * p_b:g} %, "
    what += f"tolerated {100 * tolerated:g} %" if tolerated else "nothing tolerated"
    return [_wrong(PASS, what, int(np.isfinite(found).sum()), runs, most=0.05)]


def clean(runs: int, seed: int) -> list[Row]:
    found = passed(errors.policy(1.25), errors.at_margin(0.0, 0.0, runs=min(runs, 20), seed=seed), runs=min(runs, 20))
    half = float(np.median(found)) / 2
    return [Row(PASS, "canary requests without a failure, in polls of ten", "450 (441 in polls of one)",
                f"{half:g}", min(runs, 20), half <= 450)]  # fmt: skip


def thumbs(p_c: float, p_b: float, psi_m: float, aim: int, runs: int, seed: int) -> list[Row]:
    policy = errors.policy(1.0, psi_m, None)
    looks = errors.votes(p_c, p_b, runs=runs, seed=seed)
    back = p_c > p_b
    found = watch(policy, looks, runs=runs).both if back else passed(policy, looks, runs=runs)
    median = float(np.median(np.where(np.isnan(found), np.inf, found)))
    what = f"{p_b} -> {p_c}: to {'roll back' if back else f'promote, margin {psi_m:g}'}"
    return [Row(THUMBS, what, f"about {aim:,}", f"{median:,.0f}", runs, median <= 1.15 * aim)]


def latency(regime: str, weight: int, by_slice: bool, runs: int, seed: int) -> list[Row]:  # noqa: FBT001 (partial)
    looks = delays.latency(regime, weight=weight, runs=runs, seed=seed, by_slice=by_slice)
    found = int(watch(delays.slices() if by_slice else delays.plain(), looks, runs=runs).fired.sum())
    if by_slice:
        return [_wrong(LATENCY, f"{regime}, weight {weight}: slices", found, runs, most=0.01)]
    what = f"negative control, {regime}, weight {weight}: counts of requests"
    return [_control(LATENCY, what, found, runs, least=0.1)]


def labels(by_cell: bool, runs: int, seed: int) -> list[Row]:  # noqa: FBT001 (partial)
    looks = delays.late_labels(runs=runs, seed=seed, by_cell=by_cell)
    found = int(watch(delays.labels(), looks, runs=runs, steps=delays.STEPS).fired.sum())
    if by_cell:
        return [_wrong(LABELS, "equal models, labels 300 s late, by cell: rolled back", found, runs, most=0.01)]
    return [_control(LABELS, "negative control: the same labels pooled by arrival", found, runs, least=0.1)]


def late(runs: int, seed: int) -> list[Row]:
    """Canary requests from the fault's beginning: 60 polls of 5 and 60 of 10 come before."""
    rows, means = [], []
    for restarts in (True, False):
        looks = errors.late(0.02, runs=runs, seed=seed, restarts=restarts)
        found = watch(errors.policy(1.25), looks, runs=runs, steps=(5, 10, 25, 50) if restarts else (0,))
        after = np.nanmean(found.canary[found.canary > 900]) - 900
        missed = int((~found.fired).sum())
        means.append(float(after))
        what = f"a fault of 2 % from the third step on, {'with' if restarts else 'without'} restarts: mean requests"
        rows.append(Row(LABELS, what, "", f"{after:,.0f}, {missed} not caught", runs))
    return [*rows, Row(LABELS, "restarts help: with over without", "< 1", f"{means[0] / means[1]:.2f}", runs,
                       means[0] < means[1])]  # fmt: skip


def sticky(users: bool, runs: int, seed: int) -> list[Row]:  # noqa: FBT001 (partial)
    found = watch(errors.policy(1.25), errors.sticky(runs=runs, seed=seed, users=users), runs=runs)
    count = int(found.fired.sum())
    if users:
        return [_wrong(LABELS, "sticky users, each user one outcome: rolled back", count, runs, most=0.01)]
    return [_control(LABELS, "negative control: sticky users, each request counted", count, runs, least=0.1)]


def _enough(name: str) -> int:
    """At psi0 = 1 the share is just below alpha: so many runs show that it is below."""
    return 100_000 if "12 %" in name else 60_000


def regimes() -> list[Regime]:
    """All of them, in the order of the tables. What is new comes last: a regime's number is a part of its seed."""
    found = [Regime(partial(healthy, name, psi0), _enough(name) if psi0 == 1 else 2000)
             for psi0 in (1.0, 1.25) for name in errors.HEALTHY]  # fmt: skip
    found += [Regime(control, 1000)]
    found += [Regime(partial(caught, p_c, size, psi0), 2000 if p_c == 0.01 else 5000)
              for psi0 in (1.0, 1.25) for size in (10, 1) for p_c in errors.LIMITS]  # fmt: skip
    found += [Regime(partial(margin, *case), 8000) for case in ((0.01, errors.P_B, 0.01), (0.0198, 0.01, None))]
    found += [Regime(clean, 20)]
    cases = ((0.43, 0.248, 1.25, 340), (0.367, 0.248, 1.25, 700), (0.248, 0.324, 1.25, 400),
             (0.248, 0.248, 1.25, 3400), (0.248, 0.248, 1.5, 880))  # fmt: skip
    found += [Regime(partial(thumbs, *case), 1000) for case in cases]
    found += [Regime(partial(latency, name, weight, True), 500)
              for name in ("load", "shared stalls", "own stalls") for weight in (10, 20, 30, 40, 50)]  # fmt: skip
    found += [Regime(partial(latency, "load", 70, by_slice), 500) for by_slice in (True, False)]
    found += [Regime(partial(latency, "own stalls", weight, False), 200) for weight in (30, 50)]
    found += [Regime(partial(labels, True), 500), Regime(partial(labels, False), 200), Regime(late, 1000)]
    found += [Regime(partial(sticky, True), 1000), Regime(partial(sticky, False), 200)]
    for size in (1, 10, 30):
        kinds = (("the odds ratio known beforehand", {0.02: others.Known2, 0.05: others.Known5}),
                 ("policy `faults: plain`", dict.fromkeys((0.01, 0.02, 0.05))),
                 ("what lies beyond the line is lost", dict.fromkeys((0.02, 0.05), others.Overshooting)))  # fmt: skip
        found += [Regime(partial(other, kind, what, p_c, size), 1000 if p_c == 0.01 else 3000)
                  for what, each in kinds for p_c, kind in each.items()]  # fmt: skip
    return found
