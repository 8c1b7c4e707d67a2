"""Seeded streams through the judge, and docs/judge-benchmarks.md: `make bench-judge`. About an hour on two cores.

`--speed` measures speed and memory alone, and puts them in the page's place for them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # one process a core is enough
sys.path.insert(0, str(Path(__file__).parents[2]))

from bench.judge.regimes import OTHERS, Row, regimes

SEED = 20_000
RATES = (1_000, 10_000)  # requests a second: a poll is cut every half second, so these differ in lines a poll
SPEED_TITLE = "## Speed and memory"
SPEED = """Of one core, on two shared virtual ones; seconds and milliseconds are of the processor. `look`: five
metrics, a latency with 14 edges among them, 100 + 900 requests, by `tests/bench/bench_judge_speed.py`. `log`: a
back-test from an access log, in lines a second, by `tests/bench/bench_judge_log.py`; `log to evidence` is the whole
of it. `look_ms` is the median over 200 looks, each as in the fastest of ten passes; all else is of one pass. The speed
of these processors changes within seconds: `json.loads`, which is not ours, tells fast runs from slow ones.

What binds 2,000 analyses is the looks (`judged_s`), not the store (`stored_s`).

What binds a back-test is the number of polls and, at 10,000 requests a second, the parser. At 1,000 requests a second a
poll holds some 450 lines, and to weigh it, a third of a millisecond, costs nearly as much as to read them. The
polls are weighed one look at a time, as live: the last bits of a product of matrices depend on how many rows it
has, and a judge that is started again must come to the same bits."""
PAGE = Path(__file__).parents[3] / "docs" / "judge-benchmarks.md"
HEAD = """# What the judge reaches

Written by `make bench-judge` (seed {seed}): made-up streams with fixed seeds through the judge's own evidence, many
runs at once (`src/coalmine/judge/manyfold.py`, which a test holds to the real fold and verdict). Every figure can be
had again.

Unless a line says otherwise: the primary fails at 0.5 %, the canary gets 10 % of the traffic, a look has ten canary
requests, alpha is 0.01, beta 0.05, the metric has weight 1, a run ends at 20,000 canary requests (40,000 where a
fault is to be caught). psi0 is `odds_ratio_rollback`: 1 is the sharpest, 1.25 the default; the information limit is
for 1. "At most" and "at least" are 99 % Clopper-Pearson bounds; "+-" is a 99 % interval of the mean. A negative
control is a way of counting that must fail in the same streams, or the streams would show nothing.

A **no** beside a share that is itself below its aim: the bound is not, these runs are too few to show it.

Latency: ten minutes of 200 requests a second to one process for each arm, by the default policy's latency metric.
`load`: an arm has the more slow requests the more it has to do. Stalls: about every twenty seconds all that arrives
within 200 ms waits, in both arms at once or in each by itself.
"""


NOTES = {
    OTHERS: """What was tried to catch 2 % and 5 % within 1.2x of the information limit with polls of any
size, at psi0 = 1 and in streams as above. Each is an e-process, so none rolls back healthy releases more often.

- If the odds ratio is known beforehand, betting on it alone is the best there is. With polls of thirty even that is
  beyond 1.2x for 5 %: what 84 requests show is looked at after 60, 90 or 120. So polls of any size cannot have it.
- With `faults: plain` in the policy, which bets on odds ratios from 1.5 to 90 alike, the judge catches 2 % within 1.2x
  with polls of any size, and 5 % with polls up to ten; weak faults, as 1 %, later. It is not the default: the default's
  evidence has reference values (`coalmine judge check`), and a weak fault is the expensive one to miss.
- What lies beyond the line is given back: [how](explanation/judge.md#nothing-lost-at-the-line). Without that the judge
  would need what the last lines say.
- Other shares for the restarts gain nothing here: a stream that names no step sets nothing aside.
"""
}


def _one(number: int, scale: float) -> list[Row]:
    regime = regimes()[number]
    return regime.measure(max(20, int(regime.runs * scale)), SEED + number)


def _table(rows: list[Row]) -> str:
    lines = [f"## {rows[0].table}", "", *([NOTES[rows[0].table]] if rows[0].table in NOTES else [])]
    lines += ["| what | aim | measured | runs | |", "|---|---|---|---|---|"]
    said = {True: "yes", False: "**no**", None: ""}
    lines += [f"| {r.what} | {r.aim} | {r.measured} | {r.runs:,} | {said[r.holds]} |" for r in rows]
    return "\n".join(lines)


def _put_speed() -> None:
    """The page as it is, but for its last part."""
    kept, found, _ = PAGE.read_text(encoding="utf-8").partition(SPEED_TITLE)
    if not found:
        raise SystemExit(f"{PAGE} has no part {SPEED_TITLE!r}: make bench-judge writes it whole")
    PAGE.write_text(kept + _speed(), encoding="utf-8")


def _speed() -> str:
    """What a look, an import and a log cost, each measured alone in a process of its own."""
    found: dict[str, dict[str, float]] = {"look": _measured("bench_judge_speed.py", "--json")}
    for rate in RATES:
        found[f"log, {rate:,} requests/s"] = _measured("bench_judge_log.py", "--json", "--rate", str(rate))
    lines = [SPEED_TITLE, "", SPEED, "", "| what | figure | value |", "|---|---|---|"]
    lines += [f"| {what} | {name} | {value:,.3g} |" for what, all_ in found.items() for name, value in all_.items()]
    return "\n".join(lines) + "\n"


def _measured(script: str, *arguments: str) -> dict[str, float]:
    command = [sys.executable, str(Path(__file__).parents[1] / script), *arguments]
    figures: dict[str, float] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return figures


def main() -> int:
    """The number of figures that were not reached, at most 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of runs; below 1 nothing is written")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--speed", action="store_true", help="speed and memory alone; on a quiet machine")
    given = parser.parse_args()
    if given.speed:
        _put_speed()
        return 0
    with ProcessPoolExecutor(given.processes) as pool:
        rows = []
        for found in pool.map(_one, range(len(regimes())), [given.scale] * len(regimes())):
            rows += found
            for row in found:
                print(f"{row.table}: {row.what}: {row.measured} (aim {row.aim or 'none'})", flush=True)  # noqa: T201 (what this command says)
    tables = [[row for row in rows if row.table == name] for name in dict.fromkeys(row.table for row in rows)]
    if given.scale >= 1:
        PAGE.write_text("\n".join([HEAD.format(seed=SEED), *(_table(table) + "\n" for table in tables), _speed()]))
    missed = [row for row in rows if row.holds is False]
    for row in missed:
        print(f"not reached: {row.what}: {row.measured}, aim {row.aim}", file=sys.stderr)  # noqa: T201 (likewise)
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
