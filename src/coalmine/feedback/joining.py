"""Feedback joined to its predictions: one label for each prediction that anybody said or did something about.

Pure, and the same whatever the order of arrival: a repeated event counts once, the latest word wins, and of two words
of the same moment the one with the larger event id. What is left unsaid is null, never a guess.
"""

from __future__ import annotations

import polars as pl

from coalmine.feedback.tables import COLUMNS, LABELS
from coalmine.records import Kind

_OPINION = (
    pl.when(pl.col("kind") == Kind.THUMB)
    .then(pl.col("value") >= 0.5)
    .when((pl.col("kind") == Kind.RATING) & (pl.col("value") != 3))  # 3 of 5 is neither
    .then(pl.col("value") > 3)
)
_CORRECTED = pl.col("correction") != ""


def labels(predictions: pl.LazyFrame, feedback: pl.LazyFrame) -> pl.LazyFrame:
    """A row for each of `predictions` that has feedback.

    `label`: the latest correction, else the prediction's own where the latest word calls it good, else null.
    `good`: the latest word's thumb or rating, or whether its correction is what was predicted; null without a word.
    """
    return (
        predictions.select(
            pl.col("id").alias("prediction"),
            *["t", "day", "tenant", "release", "arm", "model_version", "input"],
            pl.col("label").alias("predicted"),
        )
        .join(_said(feedback), on="prediction", how="inner")
        .with_columns(
            good=pl.coalesce("good", pl.col("said") == pl.col("predicted")),
        )
        .with_columns(label=pl.coalesce("correction", pl.when(pl.col("good")).then(pl.col("predicted"))))
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
