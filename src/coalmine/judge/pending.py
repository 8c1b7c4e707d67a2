"""The poll that is being filled. When it is cut depends on times and numbers of outcomes, never on what they were."""

from __future__ import annotations

from dataclasses import dataclass, field

from coalmine.judge.fold import BAKED
from coalmine.records import Poll

LONGEST_POLL = 30.0
_BLANK = (0, 0, 0, 0, 0, 0)


@dataclass(slots=True)
class Pending:
    """One metric's outcomes since its last cut. A cell for each step and part: [n_c, e_c, n_b, e_b, q_c, q_b].

    All cells are cut at once, so all parts of a metric are one look.
    """

    start: float = 0.0
    t: float = 0.0
    last: float = 0.0  # of the cut before
    cells: dict[str, list[int]] = field(default_factory=dict)  # by "step", or "step/part"

    def add(self, t: float, step: int, *, canary: bool, n: int = 1, e: int = 0, q: int = 0, part: str = "") -> None:
        if not self.cells:
            self.start, self.t = t, t
        self.t = max(self.t, t)
        cell = self.cells.setdefault(f"{step}/{part}" if part else str(step), [*_BLANK])
        arm = 0 if canary else 2
        cell[arm] += n
        cell[arm + 1] += e
        cell[4 if canary else 5] += q

    def holds(self, step: int) -> bool:
        """Whether anything of this step is in it."""
        return any(key.partition("/")[0] == str(step) for key in self.cells)

    def is_full(self, outcomes: int, seconds: float) -> bool:
        if self.t - self.start < seconds:
            return False
        return any(
            cell[0] >= outcomes and (cell[2] >= outcomes or key.partition("/")[0] == str(BAKED))
            for key, cell in self.cells.items()
        )

    def is_due(self, now: float, outcomes: int, seconds: float) -> bool:
        """Whether an outcome at `now` begins the next poll: outcomes of one time stay together."""
        if not self.cells or now <= self.t:
            return False
        return self.is_full(outcomes, seconds) or now - self.start > LONGEST_POLL

    def cut(self, metric: str) -> list[Poll]:
        polls = []
        for key, (n_c, e_c, n_b, e_b, q_c, q_b) in self.cells.items():
            step, _, part = key.partition("/")
            counts = {"n_c": n_c, "e_c": e_c, "n_b": n_b, "e_b": e_b, "q_c": q_c, "q_b": q_b}
            polls.append(Poll(self.t, metric, **counts, step=int(step), part=part))
        self.cells, self.t, self.last = {}, 0.0, self.t
        return polls

    @classmethod
    def load(cls, data: dict[str, object]) -> Pending:
        """What `asdict` gave. Cells without sums of squares are from before there were any."""
        cells = data["cells"]
        assert isinstance(cells, dict)
        filled = {key: [*cell, *_BLANK[len(cell) :]] for key, cell in cells.items()}
        times = {name: float(str(data.get(name, 0.0))) for name in ("start", "t", "last")}
        return cls(**times, cells=filled)
