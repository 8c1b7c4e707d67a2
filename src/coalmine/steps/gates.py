"""The offline gate's bounds, `bentos/<model>/gates.yaml`, and the pure decision on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from coalmine.documents import read_document
from coalmine.records import GateCheck

Share = Annotated[float, Field(ge=0, le=1)]
AGAINST = " against the champion"  # ends the name of each comparison; the other checks are fixed floors
Measures = Mapping[tuple[str, str], float]  # (slice, measure) -> a share


class Against(BaseModel):
    """How much worse than the champion a candidate may be, on which slices and by which measures."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    no_worse_by: Share
    measures: tuple[str, ...] = ("accuracy",)
    slices: tuple[str, ...] = Field(min_length=1)


class Gates(BaseModel):
    """The file, field by field. `ceilings` bound errors from above; `tolerance` is what `within` measures by."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = Field(alias="schema")
    floors: dict[str, dict[str, Share]] = Field(min_length=1)
    champion: Against
    ceilings: dict[str, dict[str, Annotated[float, Field(ge=0)]]] = Field(default_factory=dict)
    tolerance: Annotated[float, Field(gt=0)] | None = None

    def named(self) -> set[tuple[str, str]]:
        """Each (slice, measure) that some bound needs."""
        bounds = (*self.floors.items(), *self.ceilings.items())
        fixed = {(name, measure) for name, bound in bounds for measure in bound}
        return fixed | {(name, measure) for name in self.champion.slices for measure in self.champion.measures}


def load_gates(path: Path) -> Gates:
    """Read `gates.yaml`. Raises BadInput naming file and field."""
    return read_document(path, Gates, remedy="see bentos/sentiment/gates.yaml")


def tolerance_of(project: Path, model: str) -> float | None:
    """From which error on an answer counts as bad; None for labels, and where there are no gates."""
    path = project / "bentos" / model / "gates.yaml"
    return load_gates(path).tolerance if path.is_file() else None


def decide(gates: Gates, candidate: Measures, champion: Measures | None) -> tuple[GateCheck, ...]:
    """Each floor, each ceiling, then each comparison: none of those without a champion (a first release)."""
    checks = [
        _check(f"{name} {measure}", candidate[name, measure], floor)
        for name, floors in gates.floors.items()
        for measure, floor in floors.items()
    ]
    checks += [
        GateCheck(f"{name} {measure}", value, ceiling, passed=value <= ceiling, ceiling=True)
        for name, ceilings in gates.ceilings.items()
        for measure, ceiling in ceilings.items()
        for value in [candidate[name, measure]]
    ]
    if champion is not None:
        against = gates.champion
        checks += [
            _check(f"{name} {measure}{AGAINST}", candidate[name, measure], bound)
            for name in against.slices
            for measure in against.measures
            for bound in [champion[name, measure] - against.no_worse_by]
        ]
    return tuple(checks)


def gain(gates: Gates, candidate: Measures, champion: Measures) -> float:
    """By how much the candidate is better: the mean difference over the compared slices and measures."""
    against = gates.champion
    named = [(name, measure) for name in against.slices for measure in against.measures]
    return sum(candidate[key] - champion[key] for key in named) / len(named)


def no_better(checks: Sequence[GateCheck], gained: float | None, *, better_by: float) -> str:
    """Why a candidate above all floors is still not worth a release, with the numbers; empty where it is.

    A candidate below a floor is another matter: something is wrong with it. `gained` is None without a champion.
    """
    failed = [check for check in checks if not check.passed]
    if gained is None or not all(check.name.endswith(AGAINST) for check in failed):
        return ""
    if failed:
        return f"no better than the champion: {explain(checks)}"
    if gained > better_by:  # a measure that is no number is no gain
        return ""
    return f"no better than the champion: by {gained:+.4f}, more than {better_by:g} is wanted"


def _check(name: str, value: float, bound: float) -> GateCheck:
    # Written as "not below": a measure that is no number fails.
    return GateCheck(name, value, bound, passed=value >= bound)


def explain(checks: Sequence[GateCheck]) -> str:
    """The failed checks, each with by how much."""
    failed = [check for check in checks if not check.passed]
    return "; ".join(
        f"{c.name} is {c.value:.3f}, {-c.margin:.3f} {'above' if c.ceiling else 'below'} {c.bound:.3f}" for c in failed
    )
