"""What Flagger's own thresholds say: its Canary as plain numbers, and the counting of failed checks.

Followed from fluxcd/flagger 1.44, pkg/controller/scheduler.go (advanceCanary, runCanary), scheduler_metrics.go
(runBuiltinMetricChecks) and pkg/apis/flagger/v1beta1/canary.go: failed checks are compared with the threshold at the
start of a tick and are never reset, a failed check does not advance, a query without a value is a failed check, the
interval is 10 s at least, and a metric's window is 1 m unless it says otherwise.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from coalmine.errors import BadInput

_FLOOR, _LONGEST = 10.0, 1e7  # seconds
_MOST_CHECKS = 10_000
_UNIT = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
# In percent. The first is built in; the others are what people call the same thing in a MetricTemplate.
_SUCCESS, _ERROR = ("request-success-rate", "success-rate"), ("error-rate",)


@dataclass(frozen=True, slots=True)
class Check:
    """The canary's success rate within the last `window` seconds must lie in `low`..`high` (shares)."""

    name: str
    window: float
    low: float = 0.0
    high: float = 1.0

    def passes(self, n: int, bad: int) -> bool:
        """Without a request there is no value, and that is a failed check."""
        return n > 0 and self.low <= 1.0 - bad / n <= self.high


@dataclass(frozen=True, slots=True)
class Flagger:
    """A Canary's analysis. `weights`: empty where it never advances. `ignored`: its metrics that say nothing of failed
    requests, or that need more than counts (durations, queries of one's own): they are taken to pass.
    """

    name: str
    interval: float
    threshold: int
    weights: tuple[int, ...]
    checks: tuple[Check, ...]
    ignored: tuple[str, ...] = ()

    @property
    def seconds_to_roll_back(self) -> float:
        """From the first exposure, where every check fails."""
        return (self.threshold + 1) * self.interval

    @property
    def seconds_to_promote(self) -> float:
        """From the first exposure, where every check passes: one for each weight."""
        return len(self.weights) * self.interval


def load_flagger(path: Path) -> Flagger:
    """Read a Canary manifest; other documents of the file are passed by.

    Raises:
        BadInput: no such file, no Canary in it, or a number where none can be read.
    """
    remedy = "a file with a Canary of flagger.app/v1beta1, such as flagger/<model>/canary.yaml"
    try:
        documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadInput(str(error), where=str(path), remedy=remedy) from error
    found = [one for one in documents if isinstance(one, dict) and one.get("kind") == "Canary"]
    if len(found) != 1:
        raise BadInput(f"{len(found)} Canaries in the file", where=str(path), remedy=remedy)
    try:
        return _flagger(found[0])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadInput(f"no Canary that can be followed: {error!r}", where=str(path), remedy=remedy) from error


def _flagger(canary: dict[str, Any]) -> Flagger:
    analysis = canary["spec"]["analysis"]
    metrics = [(metric, _check(metric)) for metric in analysis.get("metrics") or []]
    threshold = int(analysis.get("threshold") or 0)
    if threshold > _MOST_CHECKS:
        raise ValueError(f"threshold {threshold}: more than {_MOST_CHECKS} failed checks")
    return Flagger(
        name=str(canary["metadata"]["name"]),
        interval=max(_FLOOR, _seconds(analysis.get("interval") or "1m")),
        threshold=threshold if threshold > 0 else 1,
        weights=_weights(analysis),
        checks=tuple(check for _, check in metrics if check is not None),
        ignored=tuple(str(metric["name"]) for metric, check in metrics if check is None),
    )


def _weights(analysis: dict[str, Any]) -> tuple[int, ...]:
    """The weights that it goes through; none where it never advances."""
    step, steps = int(analysis.get("stepWeight") or 0), [int(weight) for weight in analysis.get("stepWeights") or []]
    if analysis.get("mirror") or (not step and not steps):
        return ()
    if steps and not step:
        return tuple(min(100, weight) for weight in steps)
    last = min(100, steps[-1]) if steps else int(analysis.get("maxWeight") or 0) or 100
    weights = list(range(step, last, step))
    return (*weights, min(100, weights[-1] + step if weights else step))


def _check(metric: dict[str, Any]) -> Check | None:
    name, bounds = str(metric["name"]), metric.get("thresholdRange") or {}
    low, high = bounds.get("min"), bounds.get("max")
    window = _seconds(metric.get("interval") or "1m")
    if name in _SUCCESS:
        low = metric.get("threshold") if not bounds else low
        return Check(name, window, low=_share(low, 0.0), high=_share(high, 1.0))
    if name in _ERROR:
        high = metric.get("threshold") if not bounds else high
        return Check(name, window, low=1.0 - _share(high, 1.0), high=1.0 - _share(low, 0.0))
    return None


def _share(percent: float | None, default: float) -> float:
    return default if percent is None else float(percent) / 100.0


def _seconds(text: str) -> float:
    """Go's durations, as far as Canaries use them."""
    parts = _DURATION.findall(str(text))
    if not parts or "".join(number + unit for number, unit in parts) != str(text):
        raise ValueError(f"{text!r} is no duration")
    found = float(sum(float(number) * _UNIT[unit] for number, unit in parts))
    if not 0 < found < _LONGEST:
        raise ValueError(f"{text!r} is no time to wait")
    return found
