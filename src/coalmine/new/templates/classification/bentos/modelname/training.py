"""Columns on one scale and a linear model in one pipeline; and, for drills, a way to train it badly.

Only scikit-learn's own classes and functions of the installed package: the fitted pipeline is unpickled where none of
this folder can be imported. For another model change `_estimator` alone.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from coalmine.release.fields import matrix
from coalmine.steps.workload import Row

from .data import FIELDS


class Options(BaseModel):
    """How to train. `shuffle_targets` damages the rows: it exists so that a bad release can be made on purpose."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    c: float = Field(default=1.0, gt=0)  # inverse of the regularisation's strength
    shuffle_targets: float = Field(default=0.0, ge=0, le=1)  # share of targets that are exchanged among rows


def fit(rows: Sequence[Row], *, seed: int, options: Options) -> Any:
    """A fitted pipeline from items to labels 0 and 1. The same rows, seed and options give the same coefficients."""
    from sklearn.pipeline import Pipeline  # noqa: PLC0415 (takes seconds: only where one trains)
    from sklearn.preprocessing import FunctionTransformer  # noqa: PLC0415 (as above)

    rows = damage(rows, seed=seed, share=options.shuffle_targets)
    reading = FunctionTransformer(matrix, kw_args={"columns": FIELDS.columns})
    pipeline = Pipeline([("reading", reading), ("columns", _columns()), ("model", _estimator(options, seed))])
    weights = [row.weight for row in rows]
    return pipeline.fit([row.text for row in rows], [row.label for row in rows], model__sample_weight=weights)


def _columns() -> Any:
    """Numbers on one scale, a missing one as the median; each word as a column of its own."""
    from sklearn.compose import ColumnTransformer  # noqa: PLC0415 (as above)
    from sklearn.impute import SimpleImputer  # noqa: PLC0415 (as above)
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415 (as above)
    from sklearn.preprocessing import OneHotEncoder, StandardScaler  # noqa: PLC0415 (as above)

    words = [place for place, (_, values) in enumerate(FIELDS.columns) if values]
    numbers = [place for place, (_, values) in enumerate(FIELDS.columns) if not values]
    scaled = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    return ColumnTransformer(
        [("numbers", scaled, numbers), ("words", OneHotEncoder(handle_unknown="ignore", sparse_output=False), words)]
    )


def _estimator(options: Options, seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 (as above)

    # liblinear runs on one thread: lbfgs waits in BLAS's threads for seconds where the cores are busy serving.
    return LogisticRegression(C=options.c, class_weight="balanced", random_state=seed, solver="liblinear")


def damage(rows: Sequence[Row], *, seed: int, share: float) -> list[Row]:
    """The rows as the option spoils them; unchanged by default."""
    rng = random.Random(seed)  # noqa: S311 (a drill's dice, no secret)
    kept = list(rows)
    chosen = rng.sample(range(len(kept)), round(share * len(kept)))
    targets = [kept[place].label for place in rng.sample(chosen, len(chosen))]
    for place, target in zip(chosen, targets, strict=True):
        kept[place] = dataclasses.replace(kept[place], label=target)
    return kept
