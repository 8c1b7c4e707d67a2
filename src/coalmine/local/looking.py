"""What `up` does on the side: now and then the lake takes in what the services wrote, and drift is looked at.

It calls the commands that a person would, one after the other, each in a process of its own: what they weigh is on the
machine for seconds only, and one that hangs is ended. Once a day the lake is compacted.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence

import structlog

log = structlog.get_logger()
LONGEST = 600.0  # seconds that one command may take
DAY = 86_400.0
LOOK = (("lake", "ingest"), ("drift",))
FINE = {0, 10, 11}  # done; an alarm; no data: the looks' own answers


def call(program: Sequence[str], words: Sequence[str]) -> None:
    """One command; what goes wrong is told, and tried again at the next look."""
    began = time.monotonic()
    try:
        done = subprocess.run([*program, *words], capture_output=True, text=True, timeout=LONGEST, check=False)
    except subprocess.TimeoutExpired:
        log.warning("ended: it took too long", command=" ".join(words), seconds=LONGEST)
        return
    said = (done.stderr if done.returncode not in FINE else done.stdout).strip().splitlines()
    tell = log.info if done.returncode in FINE else log.warning
    seconds = round(time.monotonic() - began, 1)
    tell(" ".join(words), code=done.returncode, seconds=seconds, said=said[0] if said else "")


def run(program: Sequence[str], *, every: float) -> None:
    """For ever: a look each `every` seconds, the first one after that time."""
    compacted = time.monotonic()
    while True:
        time.sleep(every)
        for words in LOOK:
            call(program, words)
        if time.monotonic() - compacted > DAY:
            call(program, ("lake", "compact"))
            compacted = time.monotonic()


def main() -> None:
    """`python -m coalmine.local.looking --every SECONDS --project FOLDER --state FOLDER`, until it is ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--every", type=float, required=True)
    parser.add_argument("--project", required=True)
    parser.add_argument("--state", required=True)
    given = parser.parse_args()
    run(
        [sys.executable, "-m", "coalmine.cli", "--project", given.project, "--state", given.state],
        every=given.every,
    )


if __name__ == "__main__":
    main()
