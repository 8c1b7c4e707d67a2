"""Training: the same rows give the same bytes; what is searched, calibrated or gone on from is what it says."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from coalmine.errors import BadInput
from coalmine.steps.train import digest, look_early
from coalmine.steps.workload import Row, Task, sibling
from unit.sentiment.digests import ROOT, rows

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def training() -> Any:
    return sibling(ROOT, "sentiment", "training")


def test_the_same_rows_give_the_same_bytes_in_any_process() -> None:
    """Whatever the order of its sets: searched, calibrated and gone on from too."""

    def digests(seed: str) -> list[str]:
        line = [sys.executable, str(Path(__file__).with_name("digests.py"))]
        env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT / "tests")}
        done = subprocess.run(line, env=env, capture_output=True, text=True, check=True, timeout=390)
        found: list[str] = json.loads(done.stdout)
        return found

    first = digests("1")
    assert first == digests("2")
    assert len(set(first)) == len(first), "each way of training gives another model"


def test_a_search_takes_a_value_of_its_own(training: Any) -> None:
    """Not the default's."""
    found = training.fit(rows(), seed=0, options=training.Options(search=2))
    assert training.Options().c != found.named_steps["classifier"].C


def test_calibration_moves_scores_and_keeps_the_order(training: Any) -> None:
    """Temperature divides every logit by one number."""
    texts = ["good", "it is", "bad", "nice but sad"]
    plain = training.fit(rows(), seed=0, options=training.Options()).predict_proba(texts)[:, 1]
    warm = training.fit(rows(), seed=0, options=training.Options(calibrate="temperature")).predict_proba(texts)[:, 1]
    assert list(plain.argsort()) == list(warm.argsort())
    assert abs(plain - warm).max() > 0.001


def with_thumbs() -> list[Row]:
    """Domains that are off in opposite ways: clear tweets, and a twelfth as many thumbs that a coin has thrown."""
    dice, asked = random.Random(7), rows()[::12]
    return [
        *rows(),
        *(
            dataclasses.replace(row, label=dice.randrange(2), domain="feedback", entity=f"f/{number}")
            for number, row in enumerate(asked)
        ),
    ]


@pytest.mark.parametrize("way", ["sigmoid", "temperature"])
def test_calibration_that_harms_a_domain_is_left_out_and_said(training: Any, way: str) -> None:
    """Most rows are tweets, which it would set right: pooled, it lowers the log loss; thumbs would pay for it."""
    given = with_thumbs()
    plain = training.fit(given, seed=0, options=training.Options())
    with pytest.warns(UserWarning, match=rf"no calibration by {way}: .* log loss of feedback from 0\.\d+ to"):
        kept = training.fit(given, seed=0, options=training.Options(calibrate=way))
    assert digest(kept) == digest(plain)
    with pytest.warns(UserWarning, match="no calibration"):
        gone_on = training.refit(plain, given, seed=0, options=training.Options(calibrate=way))
    assert hasattr(gone_on.named_steps["classifier"], "coef_")
    inner, matrix = (
        training.classifier(4.0, seed=0),
        plain.named_steps["features"].transform([row.text for row in given]),
    )
    lost = training.losses(inner, matrix, given, way)
    pooled = [sum(row.weight * lost[row.domain][at] for row in given) for at in (0, 1)]
    assert pooled[1] < pooled[0]


def test_going_on_keeps_the_features_and_moves_the_coefficients(training: Any) -> None:
    """New words of new rows are not learnt until the next full training."""
    before = training.fit(rows(), seed=0, options=training.Options())
    more = [*rows(), *(Row(f"unheard{n} bad", 1, 1.0, "feedback", f"f/{n}") for n in range(60))]
    after = training.refit(before, more, seed=0, options=training.Options())
    assert after.named_steps["features"] is before.named_steps["features"]
    assert after.predict_proba(["bad"])[0, 1] > before.predict_proba(["bad"])[0, 1]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ([Row("a", 1, 1.0, "d", f"e/{n}") for n in range(9)], "label 0 comes from 0 entities"),
        ([Row("a", n % 2, 1.0, "d", "e") for n in range(90)], "label 0 comes from 1 entities"),
        ([*rows(), Row("a", 1, 0.0, "d", "e")], "have no weight above 0"),
        ([*rows(), Row("a", 1, float("nan"), "d", "e")], "have no weight above 0"),
    ],
)
def test_rows_that_teach_nothing_are_refused_before_the_training(given: list[Row], why: str) -> None:
    """With the number that says so."""
    with pytest.raises(BadInput, match=why):
        look_early(given, Task.CLASSIFICATION, where="dataset")
