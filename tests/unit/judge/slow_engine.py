"""Whole streams through the judge's arithmetic, slowly (see slow_laws.py): no code is shared with `coalmine`.

`python tests/unit/judge/slow_engine.py` writes golden_own.json from the streams in slow_streams.py; it takes a minute.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from unit.judge.slow_laws import (
    GRID,
    PSI,
    Mixtures,
    Number,
    binomial,
    fnch,
    intolerable,
    mp,
    restarted,
    sample_ratio,
    times,
    tolerated,
)

BAKED = -1


# ---- one metric --------------------------------------------------------------------------------------------------


def parts_of(rules: dict[str, Any]) -> list[str]:
    """A class of a mix, an edge of latency; one nameless part for the rest."""
    return list(rules.get("classes") or ["", *(f"{edge:g}" for edge in rules.get("more_edges", []))])


@dataclass
class Metric:
    """`rows[step][series]` is the product of the polls' likelihoods, `counts[step][series]` their sums."""

    rules: dict[str, Any]
    alpha: float
    rows: dict[int, list[list[Number]]] = field(default_factory=dict)
    counts: dict[int, list[list[int]]] = field(default_factory=dict)
    boost: Number = field(default_factory=lambda: mp.mpf(1))
    baked: tuple[int, int] = (0, 0)
    t: float = 0.0

    def __post_init__(self) -> None:
        self.mixtures = Mixtures(self.rules["odds_ratio_rollback"], self.rules["odds_ratio_promote"])
        self.parts: list[str] = parts_of(self.rules)
        self.series = len(self.parts) * (2 if self.rules["kind"] == "mix" else 1)
        self.kept = set(range(len(GRID)))

    def law(self, poll: tuple[int, int, int, int]) -> list[Number]:
        """The likelihood of `poll` at each point."""
        one = binomial if self.rules["kind"] in {"counts", "paired"} else fnch
        return [one(poll, psi) for psi in self.mixtures.points]

    def places(self, poll: dict[str, Any]) -> list[tuple[int, tuple[int, int, int, int]]]:
        """The series that a poll belongs to, with what it adds to each: a class and all that is not in it."""
        n_c, e_c, n_b, e_b = (poll[key] for key in ("n_c", "e_c", "n_b", "e_b"))
        place = self.parts.index(poll.get("part", ""))
        if self.rules["kind"] == "mix":
            return [(2 * place, (n_c, e_c, n_b, e_b)), (2 * place + 1, (n_c, n_c - e_c, n_b, n_b - e_b))]
        return [(place, (n_c, e_c, n_b, e_b))]

    def add(self, poll: dict[str, Any], *, line: Number | None, steps: list[int]) -> None:
        for place, counts in self.places(poll):
            if line is not None:
                self.boost *= self.raised(counts, poll["step"], line=line, steps=steps)
            self._put(poll["step"], place, self.law(counts))
            total = self.counts.setdefault(poll["step"], [[0] * 4 for _ in range(self.series)])[place]
            total[:] = [x + y for x, y in zip(total, counts, strict=True)]

    def _put(self, step: int, place: int, law: list[Number]) -> None:
        rows = self.rows.setdefault(step, [[mp.mpf(1)] * len(law) for _ in range(self.series)])
        rows[place] = times(rows[place], law)

    def row(self, steps: list[int], place: int) -> list[Number]:
        """The product over `steps`."""
        found = [mp.mpf(1)] * len(self.mixtures.points)
        for step in steps:
            if step in self.rows:
                found = times(found, self.rows[step][place])
        return found

    def totals(self, steps: list[int], place: int = 0) -> list[int]:
        mine = [self.counts[step][place] for step in steps if step in self.counts]
        return [sum(column) for column in zip(*mine, strict=True)] if mine else [0] * 4

    def compared(self, place: int, steps: list[int]) -> Number:
        """Against the baseline: as it stands without steps, mixed over the restarts in a ramp."""
        ramp = [step for step in steps if step]
        return self.mixtures.rollback(self.row([0], place)) * restarted(
            [self.mixtures.rollback(self.row(ramp[j:], place)) for j in range(len(ramp))]
        )

    def own(self, steps: list[int]) -> Number:
        rate, ramp = self.rules["tolerated_rate"], [step for step in steps if step]
        since = [self.totals(ramp[j:]) for j in range(len(ramp))]
        plain = self.totals([0])
        return intolerable(plain[0], plain[1], rate) * restarted([intolerable(n[0], n[1], rate) for n in since])

    def rollback(self, steps: list[int]) -> Number:
        found = []
        if self.rules["against"] != "tolerated":
            found.append(sum(self.compared(place, steps) for place in range(self.series)) / self.series)
        if self.rules["against"] != "baseline":
            found.append(self.own(steps))
        return min(found)

    def raised(self, poll: tuple[int, int, int, int], step: int, *, line: Number, steps: list[int]) -> Number:
        """The largest b with E0[min(b x evidence after, line)] = evidence before, by bisection over every outcome."""
        n_c, e_c, n_b, e_b = poll
        m, exact = e_c + e_b, self.rules["kind"] in {"counts", "paired"}
        low, high = (0, m) if exact else (max(0, m - n_b), min(m, n_c))
        if self.series > 1 or self.rules["against"] != "baseline" or not (n_c and n_b):
            return mp.mpf(1)
        if not 0 < high - low <= 256:  # beyond it nothing is raised: no failure moves the evidence much
            return mp.mpf(1)
        room = line / self.boost
        if self.after((n_c, high, n_b, m - high), step, steps=steps)[1] <= room:
            return mp.mpf(1)
        outcomes = [self.after((n_c, k, n_b, m - k), step, steps=steps) for k in range(low, high + 1)]
        before = self.rollback(steps)
        if before >= room:
            return mp.mpf(1)

        def expected(b: Number) -> Number:
            return sum(p * min(b * after, room) for p, after in outcomes)

        least, most = mp.mpf(1), mp.mpf(2) ** 40
        while most - least > mp.mpf(10) ** -25:
            middle = (least + most) / 2
            least, most = (middle, most) if expected(middle) < before else (least, middle)
        return least

    def after(self, poll: tuple[int, int, int, int], step: int, *, steps: list[int]) -> tuple[Number, Number]:
        """The null probability of `poll`, and the evidence once it is in."""
        law, before = self.law(poll), self.rows.get(step)
        self.rows[step] = [times(self.row([step], 0), law)]
        found = self.rollback(steps)
        if before is None:
            del self.rows[step]
        else:
            self.rows[step] = before
        return law[-2], found

    def noninferior(self, steps: list[int]) -> tuple[Number, Number | None, Number]:
        """E', E'' and what both say together."""
        places = range(self.series) if self.rules["kind"] == "mix" else range(1)
        promote = min(self.mixtures.promote(self.row(steps, place)) for place in places)
        if self.rules["tolerated_rate"] is None:
            return promote, None, promote
        n = self.totals(steps)
        own = tolerated(n[0], n[1], self.rules["tolerated_rate"])
        return promote, own, own if self.rules["against"] == "tolerated" else (promote + own) / 2


# ---- a whole analysis --------------------------------------------------------------------------------------------


@dataclass
class Analysis:
    """Folds looks, and says what is decided."""

    policy: dict[str, Any]
    steps: list[int] = field(default_factory=list)
    started: float | None = None
    t: float = 0.0
    latched: float | None = None
    in_bake: bool = False

    def __post_init__(self) -> None:
        self.rules = {name: rules for name, rules in self.policy["metrics"].items() if rules is not None}
        self.metrics = {name: Metric(rules, self.policy["alpha"]) for name, rules in self.rules.items()}

    def weights(self, *, baked: bool) -> dict[str, Number]:
        able = {
            name: mp.mpf(rules["weight"])
            for name, rules in self.rules.items()
            if rules["role"] != "observe" and (not baked or rules["tolerated_rate"] is not None)
        }
        return {name: weight / sum(able.values()) for name, weight in able.items()}

    def parts(self, *, baked: bool) -> dict[str, Number]:
        """Weight x e-value of each metric."""
        found = {}
        for name, weight in self.weights(baked=baked).items():
            metric = self.metrics[name]
            found[name] = weight * (self.bake(name) if baked else metric.rollback(self.steps) * metric.boost)
        return found

    def bake(self, name: str) -> Number:
        rate = self.rules[name]["tolerated_rate"]
        return mp.mpf(1) if rate is None else intolerable(*self.metrics[name].baked, rate)

    def look(self, t: float, polls: list[dict[str, Any]]) -> None:
        if self.latched is not None:
            return
        self.t, weights = t, self.weights(baked=False)
        for poll in polls:
            metric = self.metrics[poll["metric"]]
            metric.t = t
            if poll["step"] == BAKED:
                metric.baked = (metric.baked[0] + poll["n_c"], metric.baked[1] + poll["e_c"])
                continue
            self.started = t if self.started is None else self.started
            if poll["step"] not in self.steps:
                self.steps.append(poll["step"])
            share = weights.get(poll["metric"])
            line = None if share is None else 1 / mp.mpf(self.policy["alpha"]) / share
            metric.add(poll, line=line, steps=self.steps)
        for metric in self.metrics.values():
            metric.kept &= metric.mixtures.band(metric.row(self.steps, 0), self.policy["alpha"])
        for baked in (False, True):
            if self.latched is None and sum(self.parts(baked=baked).values()) >= 1 / mp.mpf(self.policy["alpha"]):
                self.latched, self.in_bake = t, baked

    def verdict(self, now: float) -> dict[str, Any]:
        baked = self.in_bake or any(metric.baked[0] for metric in self.metrics.values())
        parts = self.parts(baked=baked)
        total = sum(parts.values(), mp.mpf(0)) if parts else mp.mpf(1)
        metrics = {name: self.shown(name, parts.get(name, 0) / total) for name in self.metrics}
        ratios = [
            sample_ratio(metric.totals([step])[0], metric.totals([step])[2], step)
            for name, metric in self.metrics.items() if self.rules[name]["kind"] == "errors"
            for step in self.steps if 0 < step < 100
        ]  # fmt: skip
        return {
            "now": now, "decision": self.decision(now), "t": now if self.latched is None else self.latched,
            "log_e_mean": float(mp.log(total)), "log_e_sample_ratio": float(mp.log(mp.fprod(ratios))),
            "metrics": metrics,
        }  # fmt: skip

    def shown(self, name: str, share: Number) -> dict[str, Any]:
        metric = self.metrics[name]
        promote, own, whole = metric.noninferior(self.steps)
        last = metric.noninferior(self.steps[-1:])[2]
        ends = (PSI[min(metric.kept)], PSI[max(metric.kept)]) if metric.kept else (None, None)
        n_c, e_c, n_b, e_b = metric.totals(self.steps)
        return {
            "n_c": n_c, "e_c": e_c, "n_b": n_b, "e_b": e_b, "share": float(share),
            "log_e_rollback": float(mp.log(metric.rollback(self.steps))), "log_boost": float(mp.log(metric.boost)),
            "log_e_promote": float(mp.log(promote)), "log_e_tolerated": None if own is None else float(mp.log(own)),
            "log_e_noninferior": float(mp.log(whole)), "log_e_last_step": float(mp.log(last)),
            "odds_low": None if ends[0] is None else float(ends[0]),
            "odds_high": None if ends[1] is None else float(ends[1]),
            "log_e_bake": float(mp.log(self.bake(name))),
        }  # fmt: skip

    def decision(self, now: float) -> str:
        if self.latched is not None:
            return "ROLLBACK"
        if self.started is None:
            return "CONTINUE"
        ready = self.t - self.started >= self.policy["minimum_seconds"]
        if ready and all(self.holds(name, now) for name in self.metrics):
            return "PROMOTE"
        if now - self.started > self.policy["maximum_seconds"]:
            return "ROLLBACK" if self.policy["on_inconclusive"] == "rollback" else "INCONCLUSIVE"
        return "CONTINUE"

    def holds(self, name: str, now: float) -> bool:
        metric = self.metrics[name]
        if self.rules[name]["role"] != "guardrail":
            return True
        enough = metric.noninferior(self.steps)[2] >= 1 / mp.mpf(self.policy["beta"])
        pointing = metric.noninferior(self.steps[-1:])[2] > 1
        fresh = now - metric.t <= self.policy["fresh_seconds"]
        return bool(metric.totals(self.steps)[0]) and bool(enough) and bool(pointing) and fresh


def run(stream: dict[str, Any]) -> dict[str, Any]:
    """The stream with a verdict after each look, and those at later moments that it asks for."""
    analysis = Analysis(stream["policy"])
    looks = []
    for t, polls in groupby(stream["polls"], key=lambda poll: poll["t"]):
        analysis.look(t, list(polls))
        looks.append(analysis.verdict(t))
    later = [analysis.verdict(now) for now in stream.get("later", [])]
    return {**stream, "looks": looks, "later": later}


def main() -> None:
    from unit.judge.slow_streams import streams  # noqa: PLC0415 (the streams are only for writing)

    lines = [json.dumps(run(stream), separators=(",", ":")) for stream in streams()]
    Path(__file__).with_name("golden_own.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")


if __name__ == "__main__":
    main()
