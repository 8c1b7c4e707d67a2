"""Ways to be bad, on purpose: drills and tests set them in the release, the service enacts them.

A fault specification is text, `name=value` joined by commas; the names are a closed set:

    error_rate=0.05     share of predictions answered with 500
    delay_ms=200        added to each prediction
    wrong_rate=1        share of predictions whose answer is the wrong one
    slow_start_s=5      added to the start, before the service is ready
    crash_at_start=1    the process exits with 70 instead of becoming ready
    crash_under_load=50 the process dies at once (no clean-up) at the first moment with so many requests in flight
    leak_mb=1           memory held for ever, for each prediction
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from coalmine.errors import BadInput

ENVIRONMENT = "COALMINE_FAULTS"
_WHERE = "faults"


@dataclass(frozen=True, slots=True)
class Faults:
    """All off by default. Rates are shares in [0, 1]; the rest is >= 0, in the unit of its name."""

    error_rate: float = 0.0
    delay_ms: float = 0.0
    wrong_rate: float = 0.0
    slow_start_s: float = 0.0
    crash_at_start: bool = False
    crash_under_load: int = 0  # requests in flight
    leak_mb: float = 0.0  # for each prediction

    @property
    def any(self) -> bool:
        return self != Faults()


KNOWN = tuple(field.name for field in dataclasses.fields(Faults))


def parse(text: str) -> Faults:
    """Read a specification; the empty text is "no faults". Raises BadInput naming what is wrong and what is known."""
    values: dict[str, float] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if name not in KNOWN:
            raise _bad(f"{name!r} is no fault")
        if not equals:
            raise _bad(f"{name} has no value")
        if name in values:
            raise _bad(f"{name} is given twice")
        values[name] = _number(name, value)
    return Faults(
        error_rate=values.get("error_rate", 0.0),
        delay_ms=values.get("delay_ms", 0.0),
        wrong_rate=values.get("wrong_rate", 0.0),
        slow_start_s=values.get("slow_start_s", 0.0),
        crash_at_start=bool(values.get("crash_at_start", 0.0)),
        crash_under_load=int(values.get("crash_under_load", 0.0)),
        leak_mb=values.get("leak_mb", 0.0),
    )


def render(faults: Faults) -> str:
    """The one spelling of `faults`: in the order of the fields, without what is off. parse(render(f)) == f."""
    given = ((name, getattr(faults, name)) for name in KNOWN)
    return ",".join(f"{name}={_spell(value)}" for name, value in given if value)


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise _bad(f"{name}={text} is no number") from None
    if not math.isfinite(value) or value < 0:
        raise _bad(f"{name}={text} is not a number from 0 on")
    if name.endswith("_rate") and value > 1:
        raise _bad(f"{name}={text} is no share between 0 and 1")
    if name == "crash_at_start" and value not in (0, 1):
        raise _bad(f"{name}={text} is neither 0 nor 1")
    if name == "crash_under_load" and not value.is_integer():
        raise _bad(f"{name}={text} is no whole number of requests")
    return value


def _spell(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(value)


def _bad(what: str) -> BadInput:
    remedy = f"known are {', '.join(KNOWN)}; for example error_rate=0.05,delay_ms=200"
    return BadInput(what, where=_WHERE, remedy=remedy)
