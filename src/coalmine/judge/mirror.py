"""From what is stored to analyses in memory: once at a restart, and again and again for a standby that reads along."""

from __future__ import annotations

import json

from coalmine.judge.counting import Counting
from coalmine.judge.live import Live
from coalmine.judge.overrides import in_force
from coalmine.judge.policy import load_policy
from coalmine.judge.store import Row, Store

Key = tuple[str, str]
RUNNING = 10_000  # analyses that run at once


def revive(store: Store, row: Row) -> Live:
    """One analysis as it stands: a fold over its polls."""
    live = Live(row=row, policy=load_policy(row.policy), counting=Counting.load(json.loads(row.counting)))
    live.override = in_force(store.overrides(row.id))
    live.feed(store.polls(row.id))
    return live


def running(store: Store) -> dict[Key, Row]:
    """The newest analysis of each Canary that is not closed."""
    found: dict[Key, Row] = {}
    for row in store.analyses(limit=RUNNING, running=True):
        found.setdefault((row.namespace, row.name), row)
    return found


class Mirror:
    """What a standby knows: it folds the polls that the replica in charge has stored."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._fed: dict[int, int] = {}  # polls of each analysis that are folded
        self._heard = -1  # the newest override that is known

    def follow(self, live: dict[Key, Live]) -> None:
        """Bring `live` up to what is stored."""
        heard, rows = self._store.last_override(), running(self._store)
        for key in [key for key in live if key not in rows or live[key].row.id != rows[key].id]:
            del live[key]
        for key, row in rows.items():
            if heard == self._heard and key in live and live[key].row == row:
                continue  # polls come with a change of what is counted
            known = live.setdefault(key, Live(row=row, policy=load_policy(row.policy), counting=Counting()))
            polls = self._store.polls(row.id, after=self._fed.get(row.id, 0))
            known.row, known.counting = row, Counting.load(json.loads(row.counting))
            known.override = in_force(self._store.overrides(row.id))
            known.feed(polls)
            self._fed[row.id] = self._fed.get(row.id, 0) + len(polls)
        self._fed, self._heard = {row.id: self._fed[row.id] for row in rows.values()}, heard
