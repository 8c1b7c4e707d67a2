"""Where the machine and the real Flagger part: each line of the reference's table, with what shows it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

_FILE = Path(__file__).with_name("differences.yaml")


@dataclass(frozen=True, slots=True)
class Difference:
    """From tick `since` on the rows of the two (see `Tick.__str__`) are these; `title` is the table's first column."""

    title: str
    since: int
    flagger: tuple[str, ...]
    ours: tuple[str, ...]


def _read() -> dict[str, Difference]:
    found = yaml.safe_load(_FILE.read_text())
    return {
        script: Difference(said["title"], said["since"], tuple(said["flagger"]), tuple(said["ours"]))
        for script, said in found.items()
    }


DIFFERENCES = _read()

# What no script shows, since Flagger has nothing of the kind or the time is between two ticks: title -> test.
_HERE, _UNIT = "tests/cluster/test_parity.py", "tests/unit/rollout"
ELSEWHERE = {
    "`rollback` between two ticks": f"{_HERE}::test_rollback_is_asked_between_the_ticks_too",
    "a push during the canary": f"{_HERE}::test_a_push_takes_the_canarys_traffic_away_between_the_ticks",
    "a promotion": (
        f"{_UNIT}/test_run.py::test_a_good_release_takes_the_steps_then_all_traffic_then_bakes_then_ends_promoted"
    ),
    "`post-rollout` when the process dies": (
        f"{_UNIT}/test_properties.py::test_post_rollout_is_called_at_least_once_whoever_dies_when"
    ),
    "an interval below 10 seconds": f"{_HERE}::test_an_interval_below_10_seconds_is_kept",
}
