"""One reading of Prometheus into outcomes: a function of the answers and of what the position holds, no clock."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from coalmine.errors import BadInput
from coalmine.judge.policy import Latency, Policy, Resource
from coalmine.judge.sources import Outcomes, Position
from coalmine.judge.sources.counters import Counters, identity
from coalmine.judge.sources.growth import Growth, Sample
from coalmine.judge.sources.promapi import Series
from coalmine.judge.sources.questions import Question
from coalmine.judge.sources.tally import Tally

_NO_RELEASE = ("", "unknown", "not available", "latest")
Answers = list[tuple[Question, list[Series]]]


@dataclass(slots=True)
class State:
    """What a position holds, as JSON. `read` is when it was asked last, `t` the newest sample counted."""

    read: float | None = None
    t: float = 0.0
    weight: int | None = None
    counters: Counters = field(default_factory=Counters)
    tally: Tally = field(default_factory=Tally)
    growth: dict[str, Growth] = field(default_factory=dict)

    def dump(self) -> Position:
        growth = {metric: one.dump() for metric, one in self.growth.items()}
        held = [self.read, self.t, self.weight, self.counters.dump(), self.tally.dump(), growth]
        return {"state": json.dumps(held, separators=(",", ":"))}

    @classmethod
    def load(cls, position: Position | None) -> State:
        if position is None:
            return cls()
        read, t, weight, counters, tally, growth = json.loads(str(position["state"]))
        windows = {metric: Growth.load(one) for metric, one in growth.items()}
        return cls(read, t, weight, Counters.load(counters), Tally.load(tally), windows)


@dataclass(slots=True)
class Reading:
    """`take` it all once. `problems` are of the policy: a metric named there has no data until they are mended.

    `named`: the release of each arm, where other series than the counted ones tell it.
    """

    policy: Policy
    state: State
    named: Mapping[str, str] = field(default_factory=dict)
    problems: dict[str, BadInput] = field(default_factory=dict)
    releases: dict[str, dict[str, float]] = field(default_factory=dict)

    def take(self, answers: Answers, *, weight: int | None, end: float, key: tuple[str, str]) -> list[Outcomes]:
        """Count what is new until `end`, and the outcomes that it makes; they bear the weight of the reading before."""
        state, first = self.state, self.state.read is None
        answers = [(question, self._usable(question, found)) for question, found in answers]
        newest = max((one.samples[-1][0] for _, found in answers for one in found), default=0.0)
        if weight is not None and weight != state.weight:
            for name, metric in self.policy.metrics.items():
                if isinstance(metric, Latency):
                    state.tally.drop(name)
        counters = [(question, found) for question, found in answers if question.field != "value"]
        state.counters.meet((one for _, found in counters for one in found), first=first)
        for question, found in counters:
            for one in found:
                self._count(question, one, first=first)
        items = [] if newest <= state.t else list(self._outcomes(answers, newest, key))
        state.t = max(state.t, newest)
        state.read, state.weight = end, state.weight if weight is None else weight
        state.counters.forget(end)
        return items

    # ---- series ----

    def _usable(self, question: Question, found: list[Series]) -> list[Series]:
        """Of a histogram only the edges that are asked for."""
        metric = self.policy.metrics[question.metric]
        if not isinstance(metric, Latency) or not found:
            return found
        kept: list[Series] = []
        at = {_seconds(one, question.scale) for one in found}
        for edge in (*_edges(metric), math.inf):
            same = [one for one in found if math.isclose(_seconds(one, question.scale), edge, rel_tol=1e-9)]
            if not same:
                self.problems[question.metric] = _no_edge(question.metric, edge, at)
                return []
            kept += same
        return kept

    def _count(self, question: Question, one: Series, *, first: bool) -> None:
        rose = self.state.counters.rise(question.group, one, first=first)
        if first or rose <= 0:
            return
        what = question.field
        metric = self.policy.metrics[question.metric]
        if isinstance(metric, Latency):
            what = _part_of(metric, _seconds(one, question.scale))
        elif metric.kind == "mix":
            what = one.labels.get(question.label, "")
        self.state.tally.add(question.metric, question.arm, what, rose)
        release = one.labels.get("release") or one.labels.get("version") or ""
        if release not in _NO_RELEASE:
            seen = self.releases.setdefault(question.arm, {})
            seen[release] = seen.get(release, 0.0) + rose

    # ---- outcomes ----

    def _outcomes(self, answers: Answers, t: float, key: tuple[str, str]) -> Iterator[Outcomes]:
        namespace, name = key
        releases = self._named()
        weight = self.state.weight
        for metric, arm, part, n, e in self._whole(answers):
            release = releases.get(arm, "")
            yield Outcomes(namespace, name, t, metric, arm, n, e, part=part, release=release, weight=weight)

    def _whole(self, answers: Answers) -> Iterator[tuple[str, str, str, int, int]]:
        for name, metric in self.policy.metrics.items():
            if isinstance(metric, Resource):
                samples = [
                    s for question, found in answers if question.metric == name for s in _samples(question, found)
                ]
                for counted in self.state.growth.setdefault(name, Growth()).take(metric, samples):
                    yield (name, *counted)
            else:
                for whole in self.state.tally.take(name, metric):
                    yield (name, *whole)

    def _named(self) -> dict[str, str]:
        """The release of each arm, where series bear one. Of what was counted, one that both arms bear tells nothing;
        where the targets themselves name it, both arms do run it: main went back, or the primary has just taken it.
        """
        counted = {arm: max(seen, key=lambda release: seen[release]) for arm, seen in self.releases.items()}
        found = {**self.named, **counted}
        return found if len(set(found.values())) == len(found) else dict(self.named)


def _samples(question: Question, found: Iterable[Series]) -> Iterator[Sample]:
    for one in found:
        t, value = one.samples[-1]
        yield Sample(t, question.arm, value, identity(one.labels))


def _edges(metric: Latency) -> tuple[float, ...]:
    return (metric.edge_seconds, *metric.more_edges)


def _seconds(one: Series, scale: float) -> float:
    """A bucket's upper edge; a series without `le` matches none."""
    try:
        return float(one.labels.get("le", "-1")) * scale
    except ValueError:
        return -1.0


def _part_of(metric: Latency, edge: float) -> str:
    """What the tally calls the requests up to this edge."""
    if math.isinf(edge):
        return "total"
    return next(
        f"<{part}"
        for part, known in zip(metric.parts, _edges(metric), strict=True)
        if math.isclose(known, edge, rel_tol=1e-9)
    )


def _no_edge(metric: str, edge: float, at: Iterable[float]) -> BadInput:
    there = ", ".join(f"{one:g}" for one in sorted(at) if 0 < one < math.inf) or "none"
    what = "the histogram has no bucket +Inf" if math.isinf(edge) else f"no bucket ends at {edge:g} s"
    return BadInput(what, where=f"metric {metric}", remedy=f"use edges that there are, in seconds: {there}")
