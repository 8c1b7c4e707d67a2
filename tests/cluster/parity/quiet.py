"""When is a process done? When all of its threads sleep, and those of everybody whom it could be waiting for too.

No engine says "my tick is over". But a request that somebody still has to read makes a thread of the reader runnable,
however starved the machine is; so if everybody sleeps at several moments in a row, nothing is under way.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from coalmine.errors import Broken

_LOOKS = 6
_PAUSE = 0.025  # seconds between two looks: together longer than Flagger's control loop and any retry of its client


def wait_until_quiet(pids: Sequence[int], *, busy: Callable[[], bool], seconds: float = 60.0) -> None:
    """Return when all sleep and `busy()` is false, several times in a row. Raises Broken after `seconds`."""
    deadline = time.monotonic() + seconds
    calm = 0
    while calm < _LOOKS:
        calm = calm + 1 if not busy() and all(_asleep(pid) for pid in pids) else 0
        if time.monotonic() > deadline:
            raise Broken(f"processes {list(pids)} do not come to rest within {seconds:.0f} s")
        time.sleep(_PAUSE)


def _asleep(pid: int) -> bool:
    """No thread runs, wants to run or waits for a disk."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            state = (task / "stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            continue  # the thread has just ended
        if state in {"R", "D"}:
            return False
    return True
