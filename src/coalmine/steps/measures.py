"""What a gate may measure, on each slice of the held-out rows; for one of two labels, and for a number.

accuracy, recall_<label>     the share of right predictions, among all rows of the slice or those of one label
r2                           1 - squared error / squared error of the slice's own mean; below 0 it is worse than that
within                       the share of predictions no further from the truth than the gates' `tolerance`
mae, rmse                    mean absolute error, root of the mean squared error: in the target's unit, for ceilings
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

from coalmine.errors import BadInput
from coalmine.steps.gates import Gates
from coalmine.steps.workload import Row

ERRORS = frozenset({"mae", "rmse"})  # less is better: only a ceiling bounds them
MeasureOf = Callable[[Any, Any], float]  # (predictions, targets) as arrays -> a number
_Pairs = Sequence[tuple[float, float]]
_RECALL = re.compile(r"recall_(?P<label>.+)\Z")


def measures_of(
    gates: Gates, rows: Sequence[Row], *, labels: tuple[str, ...], where: str
) -> dict[tuple[str, str], MeasureOf]:
    """A function for each (slice, measure) that the gates name, and the usual ones of every slice for the record.

    Raises BadInput for a slice without rows, and for a measure that this task has not or that cannot be bounded so.
    """
    slices = sorted({row.domain for row in rows})
    usual = ("accuracy",) if labels else ("r2", "mae", "rmse")
    _refuse_turned_round(gates, where)
    found = {}
    for name, measure in sorted(gates.named() | {(name, measure) for name in slices for measure in usual}):
        if name not in slices:
            raise BadInput(f"no held-out rows of slice {name!r}", where=where, remedy=f"one of {', '.join(slices)}")
        chosen = [row.domain == name for row in rows]
        found[name, measure] = (
            _of_labels(measure, chosen, labels, where) if labels else _of_number(measure, chosen, gates, where)
        )
    return found


def _refuse_turned_round(gates: Gates, where: str) -> None:
    floored = {measure for floors in gates.floors.values() for measure in floors} | {*gates.champion.measures}
    if wrong := sorted(floored & ERRORS):
        raise BadInput(f"{wrong[0]!r} is an error: less is better", where=where, remedy="bound it under `ceilings`")
    ceiled = {measure for ceilings in gates.ceilings.values() for measure in ceilings}
    if wrong := sorted(ceiled - ERRORS):
        raise BadInput(f"{wrong[0]!r} under `ceilings`: more is better", where=where, remedy="bound it under `floors`")


def _of_labels(measure: str, chosen: Sequence[bool], labels: tuple[str, ...], where: str) -> MeasureOf:
    recall = _RECALL.match(measure)
    if measure != "accuracy" and (recall is None or recall["label"] not in labels):
        known = ", ".join(["accuracy", *(f"recall_{label}" for label in labels)])
        raise BadInput(f"unknown measure {measure!r}", where=where, remedy=f"one of {known}")
    among = labels.index(recall["label"]) if recall else None
    return _over(chosen, lambda pairs: _mean([float(p == t) for p, t in pairs if among in {None, t}]))


def _of_number(measure: str, chosen: Sequence[bool], gates: Gates, where: str) -> MeasureOf:
    bound = gates.tolerance
    if measure == "within" and bound is None:
        raise BadInput("`within` needs a `tolerance`", where=where, remedy="add, in the target's unit, tolerance: 10")
    known: dict[str, Callable[[_Pairs], float]] = {
        "r2": _r2,
        "within": lambda pairs: _mean([float(abs(p - t) <= (bound or 0.0)) for p, t in pairs]),
        "mae": lambda pairs: _mean([abs(p - t) for p, t in pairs]),
        "rmse": lambda pairs: math.sqrt(_mean([(p - t) ** 2 for p, t in pairs])),
    }
    if measure not in known:
        raise BadInput(f"unknown measure {measure!r}", where=where, remedy=f"one of {', '.join(known)}")
    return _over(chosen, known[measure])


def _over(chosen: Sequence[bool], of: Callable[[_Pairs], float]) -> MeasureOf:
    def measure(predictions: Any, targets: Any) -> float:
        # Not strict: MLflow first tries each measure on the first row alone.
        rows = zip(predictions, targets, chosen, strict=False)
        return of([(float(predicted), float(target)) for predicted, target, inside in rows if inside])

    return measure


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("nan")


def _r2(pairs: _Pairs) -> float:
    mean = _mean([target for _, target in pairs])
    spread = sum((target - mean) ** 2 for _, target in pairs)
    return 1 - sum((predicted - target) ** 2 for predicted, target in pairs) / spread if spread else float("nan")
