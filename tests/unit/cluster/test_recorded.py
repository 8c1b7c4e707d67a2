"""What the real Flagger wrote into Canaries, as recorded for the parity tests, read by the closer.

The truth is taken from the recorded statuses and pod templates by themselves: an attempt failed where the phase became
Failed, and was promoted where it became Succeeded with another release in the primary than before.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from coalmine.cluster.attempts import End, Kind, Track, follow
from coalmine.cluster.seen import Seen, look, seconds
from coalmine.records import Outcome, Phase, ReleaseId
from coalmine.release.file import RELEASE

from .histories import NAME, NAMESPACE, deployment

FOLDER = Path(__file__).parents[2] / "cluster/parity/histories"
HISTORIES = sorted(FOLDER.glob("*.json"))
TARGET, PRIMARY = NAME, f"{NAME}-primary"


@dataclass
class Truth:
    """Releases in the order in which they failed, or came to serve."""

    failed: list[ReleaseId] = field(default_factory=list)
    serves: list[ReleaseId] = field(default_factory=list)


@pytest.mark.parametrize("templates_first", [True, False], ids=["templates-first", "status-first"])
@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
def test_each_failed_attempt_is_healed_once_and_each_promotion_moves_the_alias_once(
    path: Path, *, templates_first: bool
) -> None:
    """Two writes of the same tenth of a second may be seen in either order."""
    looks = list(_looks(json.loads(path.read_text()), templates_first=templates_first))
    assert len(looks) > 3
    track: Track | None = None
    ends: list[End] = []
    for seen in looks:
        track, told = follow(track, seen)
        ends += told
        assert follow(track, seen) == (track, ()), "the same look told something new"
    truth = _truth(looks)
    releases = [end for end in ends if end.kind is Kind.RELEASE]
    healed = [end.release for end in releases if end.outcome is Outcome.ROLLED_BACK]
    moved = [end.release for end in releases if end.outcome in (Outcome.FIRST_RELEASE, Outcome.PROMOTED)]
    assert (healed, moved) == (truth.failed, truth.serves)
    assert len({end.attempt for end in ends}) == len(ends)


def _looks(history: dict[str, Any], *, templates_first: bool) -> Iterator[Seen]:
    """One after each write to the Canary or to a pod template."""
    written = [(each["t"], not templates_first, each) for each in history["deployments"]]
    written += [(each["t"], templates_first, each) for each in history["canary"]]
    first = next(each for each in history["canary"] if each["status"])
    start = seconds(first["status"]["lastTransitionTime"]) - first["t"]
    status: dict[str, Any] = {}
    runs: dict[str, dict[str, Any]] = {}
    for t, _, each in sorted(written, key=lambda one: one[:2]):
        if "status" in each:
            status = each["status"]
        else:
            runs[each["name"]] = deployment({RELEASE: f"m{each['release'].removeprefix('v')}-abc1234"})
        canary = {
            "metadata": {"name": NAME, "namespace": NAMESPACE},
            "spec": {"analysis": {"threshold": 3}},
            "status": status,
        }
        yield look(canary, runs.get(TARGET), runs.get(PRIMARY), env="bench", t=start + t)


def _truth(looks: list[Seen]) -> Truth:
    truth, trying, before, applied = Truth(), looks[0].target, looks[0].phase, ""
    for seen in looks:
        if seen.phase is Phase.PROGRESSING and (before is not Phase.PROGRESSING or seen.applied != applied):
            trying = seen.target  # Flagger takes up what the target names
        if seen.phase is not before and seen.phase is Phase.FAILED:
            assert trying is not None
            truth.failed.append(trying)
        serving = seen.phase in (Phase.INITIALIZED, Phase.SUCCEEDED) and seen.phase is not before
        if serving and seen.primary is not None and truth.serves[-1:] != [seen.primary]:
            truth.serves.append(seen.primary)
        before, applied = seen.phase, seen.applied
    return truth
