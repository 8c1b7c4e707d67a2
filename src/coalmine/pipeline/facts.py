"""What `due` is decided on, read from the state folder."""

from __future__ import annotations

import time

from coalmine.drift import alarms
from coalmine.feedback.opening import open_lake
from coalmine.feedback.store import count_votes
from coalmine.pipeline.due import Facts
from coalmine.pipeline.runs import Runs
from coalmine.rollout.store import SqliteStore
from coalmine.settings import Settings


def gather(settings: Settings, runs: Runs) -> Facts:
    """The facts of now. A runtime that never ran has no rollout and no votes."""
    learnt = runs.last_learnt() or 0.0  # what a failed run was to learn from is still new
    return Facts(
        now=time.time(),
        rolling=_rolling(settings),
        last_started=runs.last_started(),
        labels=_labels(settings, since=learnt),
        drifted=alarms.raised(settings.state / "drift", after=learnt),
    )


def _labels(settings: Settings, *, since: float) -> int | None:
    """Where people vote, what was acknowledged; elsewhere, as in a cluster's pod, what the lake has. None: neither."""
    counted = count_votes(settings.feedback_database, since=since)
    if counted is not None or not (settings.lake or (settings.state / "lake").is_dir()):
        return counted
    import polars as pl  # noqa: PLC0415 (heavy: only where the lake is asked)

    fresh = open_lake(settings).labels().filter(pl.col("labelled_at") > since)
    return int(fresh.select(pl.len()).collect().item())


def _rolling(settings: Settings) -> bool:
    if not settings.database.exists():
        return False
    saved = SqliteStore(settings.database).load(settings.model)
    return saved is not None and saved.state.active
