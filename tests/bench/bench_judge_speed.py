"""What a look costs the judge: `python tests/bench/bench_judge_speed.py [--json]`, on one core, some thirty seconds.

The look of the specification: five metrics, a latency with fourteen edges among them, 100 canary and 900 primary
requests. Printed in milliseconds and as a ratio to one bare evaluation of the law, so that machines can be compared.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np

from coalmine.judge import decide, evidence
from coalmine.judge.fold import State, fold_all
from coalmine.judge.policy import load_policy
from coalmine.records import Poll

EDGES = [round(0.05 * 1.4**number, 4) for number in range(13)]
POLICY = load_policy(
    f"metrics: {{latency: {{more_edges: {json.dumps(EDGES)}}}, fallbacks: {{kind: counts}}, "
    "answers: {kind: mix, classes: [positive, negative]}}"
)
LOOKS = 200
PASSES = 10
ANALYSES = 2000


def look(rng: np.random.Generator, t: float, step: int) -> list[Poll]:
    """One look at all five metrics."""

    def poll(metric: str, n_c: int, n_b: int, rate: float, part: str = "") -> Poll:
        return Poll(t, metric, n_c, int(rng.binomial(n_c, rate)), n_b, int(rng.binomial(n_b, rate)), step, part=part)

    return [
        poll("errors", 100, 900, 0.005),
        *(poll("latency", 10, 10, 0.3, part) for part in POLICY.metrics["latency"].parts),
        poll("feedback", 30, 270, 0.2),
        poll("fallbacks", 100, 900, 0.02),
        *(poll("answers", 100, 900, 0.5, part) for part in ("positive", "negative")),
    ]


def one_analysis() -> dict[str, float]:
    """Median milliseconds of a look in the middle of a ramp of four steps, and of its parts. Each look counts as in the
    fastest of the passes, as timeit has it: a virtual machine's speed may halve for seconds.
    """
    rng = np.random.default_rng(1)
    looks = [look(rng, 10.0 * number, (5, 10, 25, 50)[4 * number // LOOKS]) for number in range(LOOKS)]
    taken = np.full((PASSES, LOOKS, 2), np.inf)
    for turn in taken:
        state = State()
        for number, polls in enumerate(looks):
            begun = time.process_time()
            state = fold_all(polls, POLICY, state)
            folded = time.process_time()
            decide.judge(state, POLICY, state.t, opened=0.0)
            turn[number] = folded - begun, time.process_time() - folded
    fold_ms, verdict_ms = 1000 * np.median(taken.min(axis=0), axis=0)
    whole = 1000 * float(np.median(taken.sum(axis=2).min(axis=0)))
    bare = min(_times(lambda: evidence.fnch_log_pmf((100, 2, 900, 5), _POINTS), 2000))
    return {
        "look_ms": whole,
        "fold_ms": float(fold_ms),
        "verdict_ms": float(verdict_ms),
        "look_over_one_law": whole / bare,
    }


_POINTS = evidence.priors(1.25, 2.0).points


def _times(work: Callable[[], object], times: int) -> list[float]:
    """Milliseconds of each time."""
    found = []
    for _ in range(times):
        begun = time.process_time()
        work()
        found.append(1000 * (time.process_time() - begun))
    return found


def many_analyses() -> dict[str, float]:
    """Seconds of one core for a look at each of 2,000 analyses, and of storing their polls in SQLite."""
    from coalmine.judge.store import Counted, Store  # noqa: PLC0415 - measured apart from the engine

    rng = np.random.default_rng(2)
    states = [fold_all(look(rng, 0.0, 10), POLICY) for _ in range(ANALYSES)]
    looks = [look(rng, 10.0, 10) for _ in range(ANALYSES)]
    begun = time.process_time()
    for state, polls in zip(states, looks, strict=True):
        after = fold_all(polls, POLICY, state)
        decide.judge(after, POLICY, 10.0, opened=0.0)
    judged = time.process_time() - begun
    with tempfile.TemporaryDirectory() as folder:
        store = Store(f"sqlite:///{folder}/judge.db")
        begun = time.process_time()
        store.commit({}, [Counted(number, "{}", tuple(polls)) for number, polls in enumerate(looks)])
        stored = time.process_time() - begun
        store.close()
    return {"analyses": ANALYSES, "judged_s": judged, "stored_s": stored, "share_of_10_s": (judged + stored) / 10}


def a_flood() -> dict[str, float]:
    """Milliseconds for a poll with 10,000 failures."""
    work = _times(lambda: evidence.fnch_log_pmf((20_000, 4_000, 60_000, 6_000), _POINTS), 20)
    return {"flood_ms": float(np.median(work))}


def the_import() -> dict[str, float]:
    """Seconds and MiB of a process that only imports the package, and of one that imports the engine."""
    found: dict[str, float] = {}
    for name in ("coalmine.judge", "coalmine.judge.decide", "coalmine.judge.service"):
        code = (
            "import time; t = time.process_time(); import " + name + "; print(time.process_time() - t, "
            "next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1])"
        )
        command = [sys.executable, "-c", code]
        runs = [subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(5)]
        seconds, memory = np.median([[float(word) for word in run.stdout.split()] for run in runs], axis=0)
        found |= {f"{name}_s": float(seconds), f"{name}_MiB": float(memory) / 1024}
    return found


def main() -> None:
    found = one_analysis() | a_flood() | many_analyses() | the_import()
    if sys.argv[1:] == ["--json"]:
        sys.stdout.write(json.dumps(found) + "\n")
        return
    for name, value in found.items():
        sys.stdout.write(f"{name:32} {value:,.3f}\n")


if __name__ == "__main__":
    main()
