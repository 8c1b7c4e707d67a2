"""What a scheduler runs for each step, and what its exit code means: the same for all of them.

Imports nothing but the standard library: it is read where only the scheduler is installed.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

BEGIN = "start"  # the step before the steps: whether a run is due at all
STEPS = ("collect", "validate", "train", "evaluate", "register", "package", "release")
GO, END = "go", "end"  # what a step tells the next one, where a scheduler branches by values


class Meaning(StrEnum):
    """What a scheduler does next."""

    DONE = "done"
    SKIP = "skip"  # well, and ended: what follows has nothing to do
    RETRY = "retry"  # may pass by itself, a killed process included
    FAIL = "fail"  # another try would fail in the same way


def command(step: str, run: str, *more: str) -> list[str]:
    """The words after `coalmine`. What a person says about a run is said once, at its begin."""
    words = ["pipeline", "start"] if step == BEGIN else ["step", step]
    return ["--json", *words, "--run", run, *more]


def wishes(*, because: str, mode: str = "", override: str = "", release: str = "yes") -> Sequence[str]:
    """What may be said at a run's begin; values may be a scheduler's own templates."""
    return [f"--because={because}", f"--mode={mode}", f"--override={override}", f"--release={release}"]


def chained(step: str, run: str, after: str, outcome: str) -> list[str]:
    """For schedulers that pass values along: `after` is the last step's word, `outcome` the file for this one's."""
    said = "--because" if step == BEGIN else "--after"
    return command(step, run, said, after, "--outcome", outcome)


def places(model: str) -> dict[str, str]:
    """A container's environment: what it works on lies on one claim at /coalmine, with a state for each model."""
    at = {"PROJECT": "project", "STATE": f"state/{model}", "CACHE": "cache"}
    return {"COALMINE_MODEL": model} | {f"COALMINE_{name}": f"/coalmine/{path}" for name, path in at.items()}


def meaning(code: int) -> Meaning:
    """Of an exit code as in docs/reference/exit-codes.md. Negative, or above 128: ended by a signal."""
    if code == 0:
        return Meaning.DONE
    if code == 99:
        return Meaning.SKIP
    return Meaning.RETRY if code == 75 or code < 0 or code > 128 else Meaning.FAIL
