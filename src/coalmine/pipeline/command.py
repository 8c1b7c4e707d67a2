"""What a scheduler runs for each step, and what its exit code means: the same for all of them.

Imports nothing but the standard library: it is read where only the scheduler is installed.
"""

from __future__ import annotations

from enum import StrEnum

BEGIN = "start"  # the step before the steps: whether a run is due at all
STEPS = ("collect", "train", "evaluate", "register", "package", "release")


class Meaning(StrEnum):
    """What a scheduler does next."""

    DONE = "done"
    SKIP = "skip"  # well, and ended: what follows has nothing to do
    RETRY = "retry"  # may pass by itself, a killed process included
    FAIL = "fail"  # another try would fail in the same way


def command(
    step: str, run: str, *, by_hand: bool = False, mode: str = "", override: str = "", release: bool = True
) -> list[str]:
    """The words after `coalmine`. What a person says about a run is said once, at its begin."""
    if step != BEGIN:
        return ["--json", "step", step, "--run", run]
    said = ["--json", "pipeline", "start", "--run", run]
    said += ["--by-hand"] if by_hand else []
    said += ["--mode", mode] if mode else []
    said += ["--override", override] if override else []
    return said if release else [*said, "--no-release"]


def meaning(code: int) -> Meaning:
    """Of an exit code as in docs/reference/exit-codes.md. Negative, or above 128: ended by a signal."""
    if code == 0:
        return Meaning.DONE
    if code == 99:
        return Meaning.SKIP
    return Meaning.RETRY if code == 75 or code < 0 or code > 128 else Meaning.FAIL
