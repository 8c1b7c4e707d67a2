"""How soon drift is seen, and how often where there is none; writes docs/drift-benchmarks.md: `make bench-drift`.

A model is fitted on the training tweets. Traffic is drawn from rows that it was not fitted on: held-out tweets, which
differ from the reference by nothing but the lot, and the other domains. Every stream is a new shuffle.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from scipy.stats import beta

from coalmine.drift import calibrate, signals, watch
from coalmine.drift.signals import Kind, Seen, Values
from coalmine.drift.watch import Plan
from coalmine.steps.workload import TRAIN, load_workload, sibling

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "drift-benchmarks.md"
PLAN = Plan()
STREAM = 800  # held-out tweets after each reference
HEALTHY = int(os.environ.get("COALMINE_DRIFT_STREAMS", "400"))
DRIFTING = 10  # streams of each domain
CHANGED = 400  # rows after a change
HELD_OUT = ("evaluation", "feedback", "traffic")
Columns = Mapping[str, tuple[Kind, Values]]


@dataclass(frozen=True, slots=True)
class Stream:
    """Where each signal's alarm came, in rows since the reference; 0: it did not."""

    alarms: Mapping[str, int]

    @property
    def first(self) -> int:
        return min((at for at in self.alarms.values() if at), default=0)


@dataclass(frozen=True, slots=True)
class Domain:
    """Every held-out row of a domain, as columns of equal length, and each row's thumbs."""

    columns: Columns
    sentences: Sequence[Any]
    labels: Sequence[str]

    def take(self, rows: np.ndarray) -> dict[str, tuple[Kind, Values]]:
        return {name: (kind, values[rows]) for name, (kind, values) in self.columns.items()}


def domain(name: str, model: Any, words: frozenset[str]) -> Domain:
    data = sibling(ROOT, "sentiment", "data")
    sentences = [one for split in HELD_OUT for one in data.sentences(name, split)]
    shares = model.predict_proba([one.text for one in sentences])[:, 1]
    labels = ["positive" if share >= 0.5 else "negative" for share in shares]
    rows = [
        Seen(f"{place:08d}", float(place), one.text, labels[place], float(shares[place]))
        for place, one in enumerate(sentences)
    ]
    return Domain(signals.columns(rows, vocabulary=words), sentences, labels)


def thumbs(one: Domain, rows: Sequence[int], rng: random.Random) -> Columns:
    """What single raters say of the predictions; who finds a sentence neutral says nothing."""
    data = sibling(ROOT, "sentiment", "data")
    said = [data.thumb(one.sentences[row], one.labels[row], rng) for row in rows]
    return signals.rightness([Seen(str(place), 0.0, None, right=good) for place, good in enumerate(said)])


def stream(tweets: Domain, other: Domain | None, *, number: int, mixed: float = 1.0, after: int = 0) -> Stream:
    """A reference of tweets, then `after` tweets, then a share `mixed` of the other domain's rows."""
    lots, votes = np.random.default_rng([7, number]), random.Random(number)
    order = lots.permutation(len(tweets.labels))
    reference, rest = order[: PLAN.reference], order[PLAN.reference :]
    plan = replace(PLAN, seed=number)
    series = watch.begin(tweets.take(reference), plan)
    limit = calibrate.threshold(plan.alpha, signals=len(series) + 1)
    known = thumbs(tweets, [*map(int, reference)], votes)
    own = watch.begin(known, plan)
    for source, rows in _parts(tweets, other, rest, lots=lots, mixed=mixed, after=after):
        series = watch.look(series, source.take(rows), plan, limit=limit)
        own = watch.look(own, thumbs(source, [*map(int, rows)], votes), plan, limit=limit)
    return Stream({name: one.alarm_at for name, one in {**series, **own}.items()})


def _parts(
    tweets: Domain, other: Domain | None, rest: np.ndarray, *, lots: np.random.Generator, mixed: float, after: int
) -> list[tuple[Domain, np.ndarray]]:
    """Pieces of the traffic, in order."""
    if other is None:
        return [(tweets, rest[:STREAM])]
    foreign = lots.permutation(len(other.labels))[: CHANGED if mixed >= 1.0 else STREAM]
    pieces = [(tweets, rest[:after])] if after else []
    if mixed >= 1.0:
        return [*pieces, (other, foreign)]
    coins = lots.random(STREAM - after) < mixed
    left, right = iter(rest[after:]), iter(foreign)
    return [
        *pieces,
        *((other, np.asarray([next(right)])) if coin else (tweets, np.asarray([next(left)])) for coin in coins),
    ]


def bound(alarms: int, streams: int) -> float:
    """Clopper and Pearson's upper 95 % bound of a share."""
    return 1.0 if alarms == streams else float(beta.ppf(0.95, alarms + 1, streams - alarms))


@dataclass(frozen=True, slots=True)
class Order:
    """One stream to be made: which rows, from which lot."""

    number: int
    other: str = ""
    mixed: float = 1.0
    after: int = 0


@lru_cache(maxsize=1)
def _domains() -> dict[str, Domain]:
    """In each process once: all rows, predicted by one model."""
    workload = load_workload(ROOT, "sentiment")
    rows = workload.rows(workload.domains[:1], split=TRAIN)
    model = workload.fit(rows, seed=0, options={})
    words = frozenset(word for row in rows for word in signals.words_of(row.text))
    return {name: domain(name, model, words) for name in workload.domains}


def run(order: Order) -> Stream:
    found = _domains()
    other = found[order.other] if order.other else None
    return stream(found["tweets"], other, number=order.number, mixed=order.mixed, after=order.after)


def main() -> None:
    orders = {"tweets": [Order(number) for number in range(HEALTHY)]}
    names = [name for name in load_workload(ROOT, "sentiment").domains if name != "tweets"]
    for name in names:
        orders[name] = [Order(1000 + number, name) for number in range(DRIFTING)]
    orders["late"] = [Order(2000 + number, "reviews", after=500) for number in range(DRIFTING)]
    orders["part"] = [Order(3000 + number, "reviews", mixed=0.3) for number in range(DRIFTING)]
    found: dict[str, list[Stream]] = {}
    with ProcessPoolExecutor() as pool:
        made = pool.map(run, [order for several in orders.values() for order in several])
        for name, several in orders.items():
            found[name] = [next(made) for _ in several]
            sys.stderr.write(f"{name}: {len(several)} streams\n")
    false = sum(one.first > 0 for one in found["tweets"])
    lines = [*_head(len(_domains()["tweets"].labels)), *_false(false, HEALTHY)]
    lines += _soon([row for name in names for row in _rows(name, found[name])])
    lines += _others(found["late"], found["part"])
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _head(tweets: int) -> list[str]:
    return [
        "# Drift: how soon, and how often for nothing",
        "",
        f"Written by `make bench-drift`. The model is fitted on the training tweets; {tweets:,} other tweets are the",
        f"healthy traffic. Windows of {PLAN.window} predictions, a reference of {PLAN.reference}, {PLAN.parts} parts",
        f"drawn by lot for each, `--alpha {PLAN.alpha:g}`. Each stream is a new shuffle with new raters' thumbs.",
        "[How the alarm is calibrated](explanation/drift.md).",
        "",
    ]


def _false(false: int, streams: int) -> list[str]:
    return [
        "## False alarms on held-out tweets",
        "",
        f"At most {PLAN.alpha:g} was asked for: the probability that any signal ever alarms, looked at after each of",
        f"the {STREAM // PLAN.window} windows of {STREAM} predictions.",
        "",
        "| streams | with any alarm | share | Clopper-Pearson 95 % bound |",
        "|---|---|---|---|",
        f"| {streams} | {false} | {false / streams:.4f} | {bound(false, streams):.4f} |",
        "",
    ]


def _rows(name: str, streams: Sequence[Stream]) -> list[str]:
    """One line for any signal, and one for each that alarmed in some stream."""
    firsts = [one.first for one in streams]
    each = {signal: [one.alarms.get(signal, 0) for one in streams] for signal in sorted(streams[0].alarms)}
    lines = [_line(name, "any", firsts)]
    return lines + [_line(name, signal, found) for signal, found in each.items() if any(found)]


def _line(name: str, signal: str, found: Sequence[int]) -> str:
    seen = sorted(at or STREAM + 1 for at in found)
    shown = [str(at) if at <= STREAM else "none" for at in (seen[len(seen) // 2], seen[-1])]
    return f"| {name} | {signal} | {sum(at > 0 for at in found)} of {len(found)} | {shown[0]} | {shown[1]} |"


def _soon(table: Sequence[str]) -> list[str]:
    return [
        "## Predictions until the alarm",
        "",
        "All traffic changes at once from tweets to another domain. `accuracy.labels` counts votes: most raters say",
        "something of a sentence, those who find it neutral do not.",
        "",
        "| traffic | signal | streams with an alarm | median | largest |",
        "|---|---|---|---|---|",
        *table,
        "",
    ]


def _others(late: Sequence[Stream], half: Sequence[Stream]) -> list[str]:
    return [
        "## Late, and only in part",
        "",
        "Rows since the reference. A change after 500 healthy predictions is to be seen by what came before it, too.",
        "",
        "| traffic | signal | streams with an alarm | median | largest |",
        "|---|---|---|---|---|",
        _line("reviews after 500 tweets", "any", [one.first for one in late]),
        _line("30 % reviews among tweets", "any", [one.first for one in half]),
        "",
        "The size of a drift does not rank the loss of accuracy: the signals on inputs say that something has changed,",
        "`accuracy.labels` says whether it hurts.",
    ]


if __name__ == "__main__":
    main()
