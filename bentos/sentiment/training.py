"""TF-IDF and logistic regression in one pipeline; and, for drills, ways to train it badly."""

from __future__ import annotations

import dataclasses
import random
import warnings
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from coalmine.steps.workload import Row

from .features import features


class Options(BaseModel):
    """How to train. The last three damage the training rows, so that a bad release can be made on purpose."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    c: float = Field(default=4.0, gt=0)  # inverse of the regularisation's strength
    search: int = Field(default=0, ge=0, le=50)  # so many values of c are tried by cross-validation; 0 takes `c`
    calibrate: Literal["none", "sigmoid", "isotonic", "temperature"] = "none"  # left out where it harms a domain
    first_characters: int = Field(default=0, ge=0)  # keep only so many of each text; 0 keeps all
    flip_labels: float = Field(default=0.0, ge=0, le=1)  # share of labels turned round
    limit_rows: int = Field(default=0, ge=0)  # train on so many rows; 0 takes all


def fit(rows: Sequence[Row], *, seed: int, options: Options) -> Any:
    """A fitted pipeline from texts to labels 0 and 1. The same rows, seed and options give the same bytes."""
    from sklearn.base import clone  # noqa: PLC0415 (takes seconds: only where one trains)
    from sklearn.pipeline import Pipeline  # noqa: PLC0415 (as above)

    rows = damage(rows, seed=seed, options=options)
    found = Pipeline([("features", features()), ("classifier", classifier(options.c, seed=seed))])
    if options.search:
        found = searched(found, rows, seed=seed, tries=options.search)
    if options.calibrate != "none":
        matrix = clone(found.named_steps["features"]).fit_transform([row.text for row in rows])
        found.set_params(classifier=calibrated(found.named_steps["classifier"], matrix, rows, options.calibrate))
    return _fit(found, rows)


def refit(before: Any, rows: Sequence[Row], *, seed: int, options: Options) -> Any:
    """On from a fitted pipeline: its features stay as they are, its coefficients are where the new ones start."""
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 (as above)
    from sklearn.pipeline import Pipeline  # noqa: PLC0415 (as above)

    rows = damage(rows, seed=seed, options=options)
    seen, old = before.named_steps["features"], uncalibrated(before)
    # lbfgs goes on from coefficients, which liblinear cannot; the new classifier has nothing of the old but those.
    warm = LogisticRegression(C=options.c, class_weight="balanced", max_iter=300, warm_start=True, solver="lbfgs")
    warm.coef_, warm.intercept_, warm.classes_ = old.coef_.copy(), old.intercept_.copy(), old.classes_
    matrix = seen.transform([row.text for row in rows])
    forget_addresses(seen)
    labels, weights = [int(row.label) for row in rows], [row.weight for row in rows]
    warm.fit(matrix, labels, sample_weight=weights)
    if options.calibrate == "none":
        return Pipeline([("features", seen), ("classifier", warm)])
    last = calibrated(warm.set_params(warm_start=False), matrix, rows, options.calibrate)
    if last is not warm:
        last.fit(matrix, labels, sample_weight=weights)
    return Pipeline([("features", seen), ("classifier", last)])


def classifier(c: float, *, seed: int) -> Any:
    """On one thread: lbfgs waits in BLAS's threads for seconds where the cores are busy serving."""
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 (as above)

    return LogisticRegression(C=c, class_weight="balanced", max_iter=300, random_state=seed, solver="liblinear")


def searched(pipeline: Any, rows: Sequence[Row], *, seed: int, tries: int) -> Any:
    """The pipeline with the best of `tries` values of C, by the log loss on documents that were left out."""
    from scipy.stats import loguniform  # noqa: PLC0415 (as above)
    from sklearn.model_selection import GroupKFold, RandomizedSearchCV  # noqa: PLC0415 (as above)

    search = RandomizedSearchCV(
        pipeline,
        {"classifier__C": loguniform(0.1, 30.0)},
        n_iter=tries,
        scoring="neg_log_loss",
        cv=GroupKFold(3, shuffle=True, random_state=seed),
        random_state=seed,
        refit=False,
    )
    weights = [row.weight for row in rows]
    search.fit(
        [row.text for row in rows],
        [int(row.label) for row in rows],
        groups=[row.entity for row in rows],
        classifier__sample_weight=weights,
    )
    return pipeline.set_params(**search.best_params_)


def calibrated(inner: Any, matrix: Any, rows: Sequence[Row], method: str) -> Any:
    """The classifier with its scores corrected; as it is, with a warning, where that would harm one of the domains.

    One correction for all is that of the domain with most rows: others, where scores are off the other way, pay for it.
    """
    worse = [
        f"{domain} from {plain:.3f} to {moved:.3f}"
        for domain, (plain, moved) in losses(inner, matrix, rows, method).items()
        if moved > plain
    ]
    if worse:
        told = f"no calibration by {method}: on left-out documents it moves the log loss of {' and of '.join(worse)}"
        warnings.warn(told, stacklevel=2)
        return inner
    return corrected(inner, rows, method)


def losses(inner: Any, matrix: Any, rows: Sequence[Row], method: str) -> dict[str, tuple[float, float]]:
    """By domain, the log loss without and with the correction on documents that neither has seen."""
    import numpy as np  # noqa: PLC0415 (as above)
    from sklearn.base import clone  # noqa: PLC0415 (as above)
    from sklearn.model_selection import GroupKFold  # noqa: PLC0415 (as above)

    labels, weights = np.array([int(row.label) for row in rows]), np.array([row.weight for row in rows])
    domains, lost = np.array([row.domain for row in rows]), np.zeros((2, len(rows)))
    for train, held in GroupKFold(3).split(matrix, labels, [row.entity for row in rows]):
        for way, model in enumerate((clone(inner), corrected(clone(inner), [rows[at] for at in train], method))):
            model.fit(matrix[train], labels[train], sample_weight=weights[train])
            given = model.predict_proba(matrix[held])[np.arange(len(held)), labels[held]]
            lost[way, held] = -np.log(np.maximum(given, 1e-9))
    found = {}
    for domain in sorted(set(domains)):
        own = domains == domain
        plain, moved = np.average(lost[:, own], axis=1, weights=weights[own])
        found[str(domain)] = (float(plain), float(moved))
    return found


def corrected(inner: Any, rows: Sequence[Row], method: str) -> Any:
    """The classifier with its scores set right on documents of these rows that it was not fitted on."""
    from sklearn.calibration import CalibratedClassifierCV  # noqa: PLC0415 (as above)
    from sklearn.model_selection import GroupKFold  # noqa: PLC0415 (as above)

    labels, groups = [int(row.label) for row in rows], [row.entity for row in rows]
    folds = list(GroupKFold(min(5, len(set(groups)))).split(groups, labels, groups))
    return CalibratedClassifierCV(inner, method=method, cv=folds, ensemble=False)


def uncalibrated(pipeline: Any) -> Any:
    """The classifier within, with coefficients."""
    last = pipeline.named_steps["classifier"]
    return last.calibrated_classifiers_[0].estimator if hasattr(last, "calibrated_classifiers_") else last


def _fit(pipeline: Any, rows: Sequence[Row]) -> Any:
    weights = [row.weight for row in rows]
    pipeline.fit([row.text for row in rows], [int(row.label) for row in rows], classifier__sample_weight=weights)
    forget_addresses(pipeline.named_steps["features"])
    return pipeline


def forget_addresses(seen: Any) -> None:
    """scikit-learn remembers where its stop words lie in memory, to warn once: other bytes in each process."""
    for _, vectorizer in seen.transformer_list:
        vars(vectorizer).pop("_stop_words_id", None)


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
