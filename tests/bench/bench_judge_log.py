"""What the judge's back-test makes of an access log: lines a second on one core, each stage for itself and the whole.

    .venv/bin/python tests/bench/bench_judge_log.py [--lines 500000] [--rate 1000] [--json]

The log is nginx's layout, written to a temporary folder: a ramp 5, 10, 25, 50 % at `--rate` requests a second, 0.5 % of
500 and 1.5 % of 422 among them. Ratios are to `json.loads` of each line, which a busy machine slows as much.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from coalmine.judge.counting import Counting
from coalmine.judge.episodes import chunks_of, episodes
from coalmine.judge.fold import fold_all
from coalmine.judge.policy import Policy, load_policy
from coalmine.judge.sources.accesslog import parse
from coalmine.judge.sources.layout import Layout

_LINE = (
    '{"t":%.3f,"id":"%032x","prediction":"%s","arm":"%s","slot":"%s","release":"%s","weight":%d,"epoch":%d,'
    '"method":"POST","path":"/predict","status":%s,"upstream_status":"%s","seconds":%.3f,"upstream_seconds":"%.3f",'
    '"service_ms":"%s","attempt":"","user":"%s","bytes":%d,"tls":"TLSv1.3","traceparent":"","client_id":""}\n'
)
_WEIGHTS = (5, 10, 25, 50)
_ROUNDS = 3


def write_log(path: Path, lines: int, *, rate: float) -> None:
    rng, t = random.Random(1), 1795476394.0
    with path.open("w") as file:
        for number in range(lines):
            t += rng.expovariate(rate)
            step = number * len(_WEIGHTS) // lines
            canary = rng.random() < _WEIGHTS[step] / 100
            status = rng.choices(("200", "422", "500"), (98, 1.5, 0.5))[0]
            seconds = 0.003 + rng.expovariate(1 / 0.012)
            whole = status == "200"
            way = ("canary", "green", "m2-abcdef0") if canary else ("primary", "blue", "m1-956d4e7")
            prediction = (
                f"01a20abb-93c9-7{rng.getrandbits(12):03x}-{rng.getrandbits(16):04x}-{rng.getrandbits(48):012x}"
            )
            own = f"{seconds * 1000:.1f}" if whole else ""
            user = f"{rng.randrange(lines // 4 + 1):010x}"
            file.write(_LINE % (
                t, rng.getrandbits(128), prediction if whole else "", *way, _WEIGHTS[step], 2 + step, status, status,
                seconds + 0.001, seconds, own, user, rng.randint(600, 700),
            ))  # fmt: skip


def best(work: Callable[[], object]) -> float:
    """Seconds of CPU, the least of some rounds."""
    taken = []
    for _ in range(_ROUNDS):
        begun = time.process_time()
        work()
        taken.append(time.process_time() - begun)
    return min(taken)


def measure(path: Path) -> dict[str, float]:
    """Lines a second of each stage."""
    policy, layout, chunks = load_policy(""), Layout(), [bytes(chunk) for chunk in chunks_of(path)]
    edges = load_policy(f"metrics: {{latency: {{more_edges: {[0.01 * k for k in range(1, 10)]}}}}}")
    batches = [parse(chunk, layout)[0] for chunk in chunks]
    lines = sum(chunk.count(b"\n") for chunk in chunks)

    def count(chosen: Policy) -> None:
        counting = Counting()
        for batch in batches:
            counting.lines(batch, chosen)

    polls = [poll for found in episodes([path], policy) for poll in found.polls]
    few = chunks[0].splitlines()
    return {
        "json.loads": len(few) / best(lambda: [json.loads(line) for line in few]),
        "parse": lines / best(lambda: [parse(chunk, layout) for chunk in chunks]),
        "count": lines / best(lambda: count(policy)),
        "count, 10 latency edges": lines / best(lambda: count(edges)),
        "count, unit user": lines / best(lambda: count(policy.model_copy(update={"unit": "user"}))),
        "log to polls": lines / best(lambda: episodes([path], policy)),
        "log to evidence": lines / best(
            lambda: [fold_all(found.polls, policy) for found in episodes([path], policy)]
        ),
        "polls": len(polls),
        "bytes a line": path.stat().st_size / lines,
    }  # fmt: skip


def resident() -> float:
    """MB of a fresh process that has read a log as the judge does."""
    code = (
        "import sys; from pathlib import Path; from coalmine.judge.episodes import episodes;"
        "from coalmine.judge.policy import load_policy; episodes([Path(sys.argv[1])], load_policy(''));"
        "print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "access.jsonl"
        write_log(path, 50_000, rate=1000)
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
        run = subprocess.run(
            [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True, env=environment
        )
    return int(run.stdout) / 1024


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--lines", type=int, default=500_000)
    arguments.add_argument("--rate", type=float, default=1000)
    arguments.add_argument("--json", action="store_true")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "access.jsonl"
        write_log(path, given.lines, rate=given.rate)
        figures = measure(path)
    figures["peak resident MB of a fresh reader"] = resident()
    figures["peak resident MB here"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if given.json:
        sys.stdout.write(json.dumps(figures, indent=1) + "\n")
        return
    for name, figure in figures.items():
        rate = name not in ("polls", "bytes a line") and "MB" not in name
        ratio = f"  {figure / figures['json.loads']:6.1f}x json.loads" if rate else ""
        sys.stdout.write(f"{name:36} {figure:12,.0f}{' lines/s' if rate else ''}{ratio}\n")


if __name__ == "__main__":
    main()
