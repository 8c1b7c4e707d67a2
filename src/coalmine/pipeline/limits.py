"""What a step's own process may use: said before anything heavy is imported, since threads are counted at import."""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from coalmine.errors import BadInput, CoalmineError, Temporary
from coalmine.pipeline.plan import read_plan
from coalmine.settings import Settings

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "LOKY_MAX_CPU_COUNT", "POLARS_MAX_THREADS")


def apply(settings: Settings, run_id: str, *, fail: Callable[[CoalmineError], None]) -> None:
    """Hold this process to the plan's limits, for good: for commands, never inside a service.

    A step that needs more memory ends with MemoryError. One that needs longer ends its process, with the exit code of
    Temporary, after `fail` has said so: an exception would be caught by whatever it interrupts. Said again before the
    next step in one process, the seconds begin anew.
    """
    limits = read_plan(settings, run_id).limits
    os.environ |= dict.fromkeys(_THREADS, str(limits.threads))
    if not limits.gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    most = limits.memory_mb * 1024**2
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard != resource.RLIM_INFINITY and hard < most:
        raise BadInput(
            f"limits.memory_mb is {limits.memory_mb}, this process may have {hard // 1024**2}",
            where="retraining.yaml",
            remedy="lower it, or raise `ulimit -d`",
        )
    resource.setrlimit(resource.RLIMIT_DATA, (most, hard))

    def late(_signal: int, _frame: FrameType | None) -> NoReturn:
        error = Temporary(
            f"a step took longer than {limits.seconds} s",
            where=f"run {run_id}",
            remedy="raise limits.seconds in retraining.yaml where it needs that long",
        )
        fail(error)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(error.exit_code)

    signal.signal(signal.SIGALRM, late)
    signal.alarm(limits.seconds)
