"""Digests of models trained on made-up rows: `python digests.py`, in a process of its own."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

from coalmine.steps.train import digest
from coalmine.steps.workload import Row, load_workload

ROOT = Path(__file__).parents[3]
WORDS = (("bad", "poor", "awful", "sad"), ("good", "fine", "great", "nice"))
WAYS: tuple[dict[str, object], ...] = ({}, {"search": 2}, {"calibrate": "temperature"})


def rows() -> list[Row]:
    dice = random.Random(5)
    return [
        Row(
            f"{dice.choice(WORDS[label])} {dice.choice('abcdefgh')}{number % 17} it is",
            label,
            1.0,
            "tweets",
            f"t/{number}",
        )
        for number in range(120)
        for label in (0, 1)
    ]


def main() -> None:
    workload = load_workload(ROOT, "sentiment")
    made = [workload.fit(rows(), seed=3, options=way) for way in WAYS]
    refit = workload.refit(made[0], rows(), seed=3, options={})  # type: ignore[attr-defined]  # not every workload's
    json.dump([digest(one) for one in [*made, refit]], sys.stdout)


if __name__ == "__main__":
    main()
