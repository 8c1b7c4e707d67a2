"""What a retraining from single raters' thumbs wins on each domain; writes docs/retraining-benchmarks.md.

`make bench-retrain`. A model of tweets answers another domain's sentences; of each one rater, drawn by lot, gives a
thumb or, finding it neutral, none. Thumbs and answers go the way of real ones: the services' files, the lake, a
snapshot, the training rows. Accuracy is measured on held-out documents of all domains.
"""

from __future__ import annotations

import os
import platform
import random
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np

from coalmine.feedback import token
from coalmine.feedback.capture import Prediction, PredictionLog
from coalmine.feedback.store import FeedbackStore
from coalmine.records import Dataset, ReleaseId, Vote
from coalmine.settings import Settings
from coalmine.steps.collect import collect, read_rows
from coalmine.steps.train import digest
from coalmine.steps.workload import EVALUATION, load_workload, sibling

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "retraining-benchmarks.md"
RELEASE = ReleaseId(1, "abcdef1")
LEARNT = ("reviews", "films", "editorials")
SEEDS = (0, 1, 2)  # of the raters
WAYS = ("none", "sigmoid", "temperature")
Scores = Mapping[str, float]  # by domain


@dataclass(frozen=True, slots=True)
class Measured:
    """One model on the held-out documents of each domain."""

    accuracy: Scores
    log_loss: Scores
    off: Scores  # mean distance of confidence and share of right answers, over ten bins


def measure(workload: Any, model: Any) -> Measured:
    found: dict[str, list[float]] = {}
    for domain in workload.domains:
        rows = workload.rows((domain,), split=EVALUATION)
        truth = np.array([row.label for row in rows])
        share = np.clip(model.predict_proba([row.text for row in rows])[:, 1], 1e-6, 1 - 1e-6)
        right = (share >= 0.5) == (truth == 1)
        loss = -np.mean(np.where(truth == 1, np.log(share), np.log(1 - share)))
        found[domain] = [float(right.mean()), float(loss), miscalibration(np.maximum(share, 1 - share), right)]
    accuracy, loss, off = ({name: values[at] for name, values in found.items()} for at in range(3))
    return Measured(accuracy, loss, off)


def miscalibration(confidence: Any, right: Any) -> float:
    """The expected calibration error over ten bins of equal width between a half and one."""
    bins = np.minimum(((confidence - 0.5) * 20).astype(int), 9)
    parts = [(bins == number) for number in range(10)]
    return float(sum(abs(confidence[part].mean() - right[part].mean()) * part.mean() for part in parts if part.any()))


def people(settings: Settings, model: Any, domain: str, seed: int) -> int:
    """Answer the domain's feedback sentences and take a thumb on each; returns how many gave one."""
    data, rng = sibling(ROOT, "sentiment", "data"), random.Random(seed)
    asked = data.sentences(domain, data.Split.FEEDBACK)
    log, store = PredictionLog(settings.predictions, RELEASE), FeedbackStore(settings.feedback_database)
    votes = []
    for sentence, label in zip(asked, model.predict([one.text for one in asked]), strict=True):
        name = token.mint()
        at, output = token.predicted_at(name), {"label": data.LABELS[int(label)]}
        log.put(Prediction(name, at, str(RELEASE), 1, "d", sentence.text, output, 1.0))
        good = data.thumb(sentence, int(label), rng)
        votes += [] if good is None else [Vote(name, RELEASE, at, at + 1, good=good)]
    log.close()
    store.add_all(votes)
    store.close()
    return len(votes)


def learn(folder: Path, base: Any, domain: str, seed: int) -> tuple[Settings, Dataset, int]:
    """A state folder of its own, from its people to its rows."""
    settings = Settings(project=ROOT, state=folder / f"{domain}-{seed}", model="sentiment")
    count = people(settings, base, domain, seed)
    return settings, collect(settings, domains=("tweets",), votes=True), count


def again(settings: Settings, taken: Dataset) -> tuple[str, str]:
    """Dataset and model rebuilt from the snapshot's name by another process."""
    assert taken.snapshot is not None
    line = [sys.executable, __file__, "again", str(settings.state), taken.snapshot.digest]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    first, second = done.stdout.split()
    return first, second


def rebuild(state: str, snapshot: str) -> None:
    settings = Settings(project=ROOT, state=Path(state), model="sentiment")
    rows = collect(settings, domains=("tweets",), snapshot=snapshot)
    model = load_workload(ROOT, "sentiment").fit(read_rows(rows), seed=0, options={})
    sys.stdout.write(f"{rows.digest} {digest(model)}\n")


def main() -> None:
    began, workload = time.monotonic(), load_workload(ROOT, "sentiment")
    table, calibrations, same = [], [], []
    with tempfile.TemporaryDirectory(prefix="coalmine-bench-") as name:
        start = collect(Settings(project=ROOT, state=Path(name) / "base", model="sentiment"), domains=("tweets",))
        base = workload.fit(read_rows(start), seed=0, options={})
        before = measure(workload, base)
        calibrations += [_ways(workload, start, "none yet", before)]
        for domain in LEARNT:
            made, votes = [], []
            for seed in SEEDS:
                settings, rows, count = learn(Path(name), base, domain, seed)
                model = workload.fit(read_rows(rows), seed=0, options={})
                named = digest(model)  # at once: a vectorizer that has been used keeps an address in its memory
                made.append(measure(workload, model))
                votes.append(count)
                sys.stderr.write(f"{domain}, raters {seed}: {made[-1].accuracy}\n")
                if seed == SEEDS[0]:
                    same.append((domain, rows, named, again(settings, rows)))
                    calibrations.append(_ways(workload, rows, domain, made[-1]))
            table += _gains(domain, before, made, votes)
    write(table, [line for lines in calibrations for line in lines], same, seconds=time.monotonic() - began)


def _ways(workload: Any, rows: Dataset, learnt: str, plain: Measured) -> list[str]:
    """One line for each way of calibration and each of two domains: where it came from, and what was learnt."""
    shown = ("tweets", "reviews") if learnt == "none yet" else ("tweets", learnt)
    found = {"none": plain}
    for way in WAYS[1:]:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="no calibration by")  # the column says so
            model = workload.fit(read_rows(rows), seed=0, options={"calibrate": way})
        kept = hasattr(model.named_steps["classifier"], "calibrated_classifiers_")
        found[way if kept else f"{way}, left out"] = measure(workload, model)
    return [
        f"| {learnt} | {domain} | {way} | {one.accuracy[domain]:.3f} | {one.log_loss[domain]:.3f} "
        f"| {one.off[domain]:.3f} |"
        for domain in shown
        for way, one in found.items()
    ]


def _gains(learnt: str, before: Measured, made: Sequence[Measured], votes: Sequence[int]) -> list[str]:
    thumbs = f"{min(votes):,} to {max(votes):,}"
    lines = []
    for domain, was in before.accuracy.items():
        now = [one.accuracy[domain] for one in made]
        mean, least, most = sum(now) / len(now), min(now), max(now)
        after = f"{mean:.3f} ({least:.3f} to {most:.3f})"
        lines.append(f"| {learnt} ({thumbs}) | {domain} | {was:.3f} | {after} | {mean - was:+.3f} |")
    return lines


def write(table: Sequence[str], calibrations: Sequence[str], same: Sequence[Any], *, seconds: float) -> None:
    """The page. Every figure in it comes from this run."""
    rebuilt = [
        f"| {domain} | {rows.snapshot.digest[:12]} | {rows.digest[:12]} | {model[:12]} | "
        f"{'yes' if found == (rows.digest, model) else 'NO'} |"
        for domain, rows, model, found in same
    ]
    text = "\n".join(
        [
            "# Retraining benchmarks",
            "",
            f"Written by `make bench-retrain` on Python {platform.python_version()}, in {seconds:.0f} s.",
            "",
            "A model of the training tweets answers another domain's sentences, and of each sentence one rater gives a",
            "thumb (none where the rating is 0). It is trained anew on the tweets and on nothing else but those",
            "thumbs, which went through the services' files, the lake and a snapshot. Accuracy is on held-out",
            "documents that nobody voted on.",
            "",
            "## Accuracy before and after",
            "",
            f"Mean over {len(SEEDS)} draws of the raters, with the least and the largest.",
            "",
            "| learnt from thumbs on | held-out domain | before | after | gain |",
            "|---|---|---|---|---|",
            *table,
            "",
            "## With and without calibration",
            "",
            "`how.options: {calibrate: ...}`. Log loss and expected calibration error (ten bins): less is better.",
            "It is left out where that raises the log loss of a domain of the training rows, on documents held out of",
            "them. Of a domain that no row is of nothing is known: so it is with reviews as long as none is learnt.",
            "",
            "| learnt from thumbs on | held-out domain | calibrate | accuracy | log loss | calibration error |",
            "|---|---|---|---|---|---|",
            *calibrations,
            "",
            "## The same again",
            "",
            "Another process rebuilds rows and model from the snapshot's digest alone.",
            "",
            "| learnt from thumbs on | snapshot | dataset | model | rebuilt to the digest |",
            "|---|---|---|---|---|",
            *rebuilt,
            "",
        ]
    )
    PAGE.write_text(text, encoding="utf-8")
    sys.stdout.write(text)


if __name__ == "__main__":
    rebuild(*sys.argv[2:]) if sys.argv[1:2] == ["again"] else main()
