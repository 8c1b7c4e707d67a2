"""The same distances by their definitions, one part at a time and without any trick: what the quick ones must equal."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise


def split(values: Sequence[object], part: Sequence[int]) -> tuple[list[object], list[object]]:
    inside = set(part)
    return [values[i] for i in part], [v for i, v in enumerate(values) if i not in inside]


def wasserstein(values: Sequence[float], part: Sequence[int]) -> float:
    """The integral of |F - G| over the real line, interval by interval."""
    one, other = split(values, part)
    cuts = sorted(set(values))
    total = 0.0
    for low, high in pairwise(cuts):
        f = sum(v <= low for v in one) / len(one)  # type: ignore[operator]  # `split` takes labels, too
        g = sum(v <= low for v in other) / len(other)  # type: ignore[operator]  # as above
        total += abs(f - g) * (high - low)
    return total


def total_variation(labels: Sequence[object], part: Sequence[int]) -> float:
    one, other = split(labels, part)
    left, right = Counter(one), Counter(other)
    return 0.5 * math.fsum(abs(left[k] / len(one) - right[k] / len(other)) for k in set(labels))


def shortfall(good: Sequence[float], part: Sequence[int]) -> float:
    one, other = split(good, part)
    return math.fsum(other) / len(other) - math.fsum(one) / len(one)  # type: ignore[arg-type]  # as above
