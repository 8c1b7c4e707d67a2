"""Durations as Go's time.ParseDuration reads them: "10s", "1m30s", "500ms"."""

from __future__ import annotations

import re

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)")


def seconds(text: str) -> float:
    """A Go duration without a sign, in seconds. Raises ValueError for anything else."""
    parts = list(_PART.finditer(text))
    if not parts or "".join(part[0] for part in parts) != text:
        raise ValueError(f"{text!r} is no duration: write it like 10s, 1m or 1m30s")
    return sum(float(part[1]) * _UNITS[part[2]] for part in parts)
