"""TF-IDF and logistic regression in one pipeline; and, for drills, ways to train it badly."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from coalmine.steps.workload import Row

from .features import features


class Options(BaseModel):
    """How to train. All but `c` damage the training rows: they exist so that a bad release can be made on purpose."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    c: float = Field(default=4.0, gt=0)  # inverse of the regularisation's strength
    first_characters: int = Field(default=0, ge=0)  # keep only so many of each text; 0 keeps all
    flip_labels: float = Field(default=0.0, ge=0, le=1)  # share of labels turned round
    limit_rows: int = Field(default=0, ge=0)  # train on so many rows; 0 takes all


def fit(rows: Sequence[Row], *, seed: int, options: Options) -> Any:
    """A fitted pipeline from texts to labels 0 and 1. The same rows, seed and options give the same coefficients."""
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 (takes seconds: only where one trains)
    from sklearn.pipeline import Pipeline  # noqa: PLC0415 (as above)

    rows = damage(rows, seed=seed, options=options)
    # liblinear runs on one thread: lbfgs waits in BLAS's threads for seconds where the cores are busy serving.
    classifier = LogisticRegression(
        C=options.c, class_weight="balanced", max_iter=300, random_state=seed, solver="liblinear"
    )
    pipeline = Pipeline([("features", features()), ("classifier", classifier)])
    weights = [row.weight for row in rows]
    return pipeline.fit([row.text for row in rows], [row.label for row in rows], classifier__sample_weight=weights)


def damage(rows: Sequence[Row], *, seed: int, options: Options) -> list[Row]:
    """The rows as `options` spoils them; unchanged by default."""
    rng = random.Random(seed)  # noqa: S311 (a drill's dice, no secret)
    kept = list(rows)
    if options.limit_rows and options.limit_rows < len(kept):
        kept = rng.sample(kept, options.limit_rows)
    if options.first_characters:
        kept = [dataclasses.replace(row, text=row.text[: options.first_characters]) for row in kept]
    if options.flip_labels:
        kept = [
            dataclasses.replace(row, label=1 - row.label) if rng.random() < options.flip_labels else row for row in kept
        ]
    return kept
