"""How long the Pulumi program takes under mocks, for each stack: what `pulumi preview` spends in it.

Each run is a process of its own, from the interpreter's start to the last registration; the engine itself and the
clouds' answers come on top of it. Bytecode lies ready, as after an installation: a first run, which is not counted,
leaves it in a folder of the bench's own. `make bench-infra` writes docs/infra-benchmarks.md.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from coalmine.infra import config

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "infra-benchmarks.md"
RUNS = 3
AIM = 10.0  # seconds, for the largest stack
CODE = """
import resource, sys, time
begun = time.monotonic()
from pathlib import Path
from coalmine.infra import rehearsal
loaded = time.monotonic()
run = rehearsal.of(Path(sys.argv[1]), sys.argv[2])
used = resource.getrusage(resource.RUSAGE_SELF)
print(len(run.resources), time.monotonic() - begun, time.monotonic() - loaded, used.ru_utime + used.ru_stime,
      used.ru_maxrss // 1024)
"""


@dataclass(frozen=True, slots=True)
class Run:
    """One process: resources registered, seconds by the clock, those of the program itself, of a processor, MiB."""

    resources: int
    wall: float
    program: float
    processor: float
    memory: int


def measure(stack: str, compiled: Path) -> Run:
    line = [sys.executable, "-c", CODE, str(ROOT / "infra"), stack]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"PYTHONPYCACHEPREFIX": str(compiled)}
    said = subprocess.run(line, env=environment, capture_output=True, text=True, check=True).stdout.split()
    return Run(int(said[0]), float(said[1]), float(said[2]), float(said[3]), int(said[4]))


def row(stack: str, runs: list[Run]) -> str:
    walls = [run.wall for run in runs]
    cells = [
        f"`{stack}`",
        str(runs[0].resources),
        f"{statistics.median(walls):.1f} ({min(walls):.1f} to {max(walls):.1f})",
        f"{statistics.median(run.processor for run in runs):.1f}",
        str(max(run.memory for run in runs)),
    ]
    return f"| {' | '.join(cells)} |"


def page(measured: dict[str, list[Run]]) -> str:
    largest = max(measured.values(), key=lambda runs: runs[0].resources)
    walls = [run.wall for run in largest]
    said = "met" if statistics.median(walls) <= AIM else "met by the fastest run" if min(walls) <= AIM else "not met"
    figures = f"median {statistics.median(walls):.1f} s, fastest {min(walls):.1f} s"
    load = os.getloadavg()[0]
    lines = [
        "# The Pulumi program under mocks",
        "",
        "`make bench-infra` writes this page: each stack in processes of its own, from their start to the last",
        "registration. Pulumi's engine, its plugins and the clouds' answers come on top; they were never measured.",
        "",
        f"Aim: at most {AIM:.0f} s for the largest stack: {said}; {figures}.",
        "",
        "| stack | resources | seconds by the clock, median (range) | seconds of a processor | MiB |",
        "|---|---|---|---|---|",
        *(row(stack, runs) for stack, runs in measured.items()),
        "",
        f"{RUNS} runs each, Python {platform.python_version()}, {os.cpu_count()} cores, load {load:.1f} at the end.",
        "Where the load is above the number of cores, other work was beside it: the processor's time says what it is.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    stacks = config.stacks(ROOT / "infra")
    measured: dict[str, list[Run]] = {stack: [] for stack in stacks}
    with tempfile.TemporaryDirectory(prefix="coalmine-bytecode-") as folder:
        for _ in range(1 + RUNS):  # turns, so that what else the machine does falls on all of them
            for stack in stacks:
                measured[stack].append(measure(stack, Path(folder)))
    made = page({stack: runs[1:] for stack, runs in measured.items()})
    PAGE.write_text(made, encoding="utf-8")
    sys.stdout.write(made)


if __name__ == "__main__":
    main()
