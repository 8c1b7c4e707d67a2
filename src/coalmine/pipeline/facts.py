"""What `due` is decided on, read from the state folder."""

from __future__ import annotations

import time

from coalmine.drift import alarms
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
        labels=count_votes(settings.feedback_database, since=learnt),
        drifted=alarms.raised(settings.state / "drift", after=learnt),
    )


def _rolling(settings: Settings) -> bool:
    if not settings.database.exists():
        return False
    saved = SqliteStore(settings.database).load(settings.model)
    return saved is not None and saved.state.active
