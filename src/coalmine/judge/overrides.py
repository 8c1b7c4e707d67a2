"""What a person may say over the judge's head: approve, hold, roll back, or take that back. The newest word counts.

Words are only ever added. The evidence goes on being gathered under each of them, and may still roll back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from coalmine.judge.live import Live
from coalmine.judge.store import Said
from coalmine.judge.verdict import Override

Action = Literal["approve", "hold", "rollback", "clear"]
ACTIONS: tuple[Action, ...] = get_args(Action)


def in_force(said: Sequence[Said]) -> Override | None:
    """The newest, as the verdict takes it; None where nothing was said or it was cleared."""
    if not said or said[-1].action not in ("approve", "hold", "rollback"):
        return None
    last = said[-1]
    return Override(action=last.action, who=last.who, why=last.why, t=last.t)  # type: ignore[arg-type] # as checked above


def refusal(live: Live, action: str) -> str:
    """Why this cannot be said now; empty: it can."""
    if live.row.status == "closed":
        return f"analysis {live.row.id} is closed ({live.row.outcome}): nothing is decided on it any more"
    if action == "approve" and live.state.latched is not None:
        return "a rollback was decided on evidence: it stands, and is not approved away; release again instead"
    return ""


def rolled_back(live: Live) -> bool:
    """By evidence or by a person."""
    return live.state.latched is not None or (live.override is not None and live.override.action == "rollback")
