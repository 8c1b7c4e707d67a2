"""Feedback joined to its predictions: one label for each prediction that anybody said or did something about.

`labels` is pure, and the same whatever the order of arrival: a repeated event counts once, the latest word wins, and
of two words of the same moment the one with the larger event id. What is left unsaid is null, never a guess.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from coalmine.errors import CoalmineError
from coalmine.feedback.tables import COLUMNS, FEEDBACK, LABELS, PREDICTIONS, Table, day_of
from coalmine.records import Kind

_OPINION = (
    pl.when(pl.col("kind") == Kind.THUMB)
    .then(pl.col("value") >= 0.5)
    .when((pl.col("kind") == Kind.RATING) & (pl.col("value") != 3))  # 3 of 5 is neither
    .then(pl.col("value") > 3)
)
_SKEW = 60.0  # seconds between the time in a prediction's id and that of its line in the log
_CORRECTED = pl.col("correction") != ""


def labels(predictions: pl.LazyFrame, feedback: pl.LazyFrame, *, tolerance: float | None = None) -> pl.LazyFrame:
    """A row for each of `predictions` that has feedback.

    `label`: the latest correction, else the prediction's own where the latest word calls it good, else null.
    `good`: the latest word's thumb or rating, or whether its correction is what was predicted; null without a word.

    A number that was predicted stands in `score`, with no label beside it: then only a correction is a label, and by
    itself it is good where it is no further off than `tolerance`.
    """
    number = pl.col("predicted").is_null() & pl.col("score").is_not_null()
    near = (pl.col("said").cast(pl.Float64, strict=False) - pl.col("score")).abs() <= pl.lit(tolerance, pl.Float64)
    return (
        predictions.select(
            pl.col("id").alias("prediction"),
            *["t", "day", "tenant", "release", "arm", "model_version", "input"],
            pl.col("label").alias("predicted"),
            "score",
        )
        .join(_said(feedback), on="prediction", how="inner")
        .with_columns(
            good=pl.coalesce("good", pl.col("said") == pl.col("predicted"), pl.when(number).then(near)),
        )
        .with_columns(label=pl.coalesce("correction", pl.when(pl.col("good")).then(pl.col("predicted"))))
        .with_columns(predicted=pl.coalesce("predicted", pl.col("score").cast(pl.String)))
        .select(*COLUMNS[LABELS])
    )


def _said(feedback: pl.LazyFrame) -> pl.LazyFrame:
    """One row for each prediction: the latest word (`good`, and `said` where it corrects), the latest correction."""
    word = pl.col("opinion").is_not_null() | _CORRECTED
    return (
        feedback.sort("t", "event_id", "kind", "value", "correction", "user")
        .unique("event_id", keep="first", maintain_order=True)
        .with_columns(opinion=_OPINION)
        .group_by("prediction", maintain_order=True)  # the order within a group is that of the sort
        .agg(
            good=pl.col("opinion").filter(word).last(),
            said=pl.when(_CORRECTED).then(pl.col("correction")).filter(word).last(),
            correction=pl.col("correction").filter(_CORRECTED).last(),
            events=pl.len().cast(pl.Int64),
            labelled_at=pl.col("t").last(),
        )
    )


def joined(
    tables: Mapping[str, Table],
    versions: Mapping[str, int],
    before: Mapping[str, int],
    *,
    tolerance: float | None = None,
) -> pl.LazyFrame:
    """The labels of these versions that may differ from those of the versions `before`.

    Made anew from all that was said on a prediction, so that a join that is repeated gives the same rows again.
    """
    feedback, predictions = (tables[name].scan(versions[name]) for name in (FEEDBACK, PREDICTIONS))
    new_feedback, new_predictions = (
        added(tables[name], versions[name], before[name]) for name in (FEEDBACK, PREDICTIONS)
    )
    if new_feedback is None or new_predictions is None:
        return labels(predictions, feedback, tolerance=tolerance)
    said = new_feedback.select("prediction", "predicted_at")
    late = new_predictions.select(pl.col("id").alias("prediction"))
    waited = feedback.select("prediction", "predicted_at").join(late, on="prediction", how="semi")
    touched = pl.concat([said, waited]).unique("prediction").collect()
    times = touched["predicted_at"]
    days = {day_of(t + skew) for t in times for skew in (-_SKEW, 0.0, _SKEW)}
    ids = touched.lazy().select("prediction")
    since = day_of(min(times, default=0.0) - _SKEW)
    return labels(
        predictions.filter(pl.col("day").is_in(sorted(days))).join(
            ids, left_on="id", right_on="prediction", how="semi"
        ),
        feedback.filter(pl.col("day") >= since).join(ids, on="prediction", how="semi"),
        tolerance=tolerance,
    )


def added(table: Table, version: int, before: int) -> pl.LazyFrame | None:
    """Rows that came into the table after `before`, and maybe older ones: those of all files that it had not then.

    None: all of them, since it cannot be told any more.
    """
    if before == 0:
        return None
    try:
        old = set(table.files(before))
    except CoalmineError:  # the version's log is gone
        return None
    new = [file for file in table.files(version) if file not in old]
    return table.read(new) if new else pl.LazyFrame(schema=dict(COLUMNS[table.name]))
