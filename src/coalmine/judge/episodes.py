"""The canaries that an access log holds, found without any hook: what a back-test under another policy needs.

An attempt begins when the weight rises from 0, or when another release becomes the canary. It ends when the weight is
0 again, when another release takes its place, or some time after the release has become the primary (its bake).
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from coalmine.errors import BadInput
from coalmine.judge.counting import Counting
from coalmine.judge.pending import LONGEST_POLL
from coalmine.judge.policy import Policy
from coalmine.judge.sources.accesslog import parse
from coalmine.judge.sources.layout import Layout
from coalmine.judge.sources.lines import Line, Lines
from coalmine.records import Poll

_CHUNK = 4 << 20


@dataclass(frozen=True, slots=True)
class Episode:
    """One attempt of a canary. Times are Unix seconds; `weights` are (t, weight) from its begin on."""

    release: str
    baseline: str
    started: float  # its first request
    ended: float  # the promotion, the weight's return to 0, or the last line
    polls: list[Poll]
    requests: int
    failed: int
    promoted: bool | None  # it served as the primary afterwards; None: the log ends before one can tell
    weights: tuple[tuple[float, int], ...]
    canary: str = ""  # "namespace/name" where the log says so


def episodes(paths: Sequence[Path], policy: Policy, *, release: str = "") -> list[Episode]:
    """Every attempt in `paths` (oldest file first, `.gz` too), by its begin; only those of `release` if it is given.

    Raises:
        BadInput: a file that cannot be read, or is no gzip although it is named so.
    """
    trackers: dict[str, Tracker] = {}
    layout = Layout()
    for path in paths:
        for data in chunks_of(path):
            lines, _ = parse(data, layout)
            for name, mine in _by_canary(lines):
                trackers.setdefault(name, Tracker(policy, name)).take(mine)
    found = [episode for tracker in trackers.values() for episode in tracker.finish()]
    return sorted(
        (episode for episode in found if release in ("", episode.release)), key=lambda episode: episode.started
    )


class Tracker:
    """Follows one Canary through a log, one attempt after the other."""

    def __init__(self, policy: Policy, canary: str = "") -> None:
        self._policy, self._canary = policy, canary
        self._counting = Counting()
        self._polls: list[Poll] = []
        self._found: list[Episode] = []

    def take(self, lines: Lines) -> None:
        """Lines in the order of the log."""
        begin, bake = 0, self._policy.bake.seconds
        while begin < len(lines):
            if self._begins(lines[begin]):
                self._next()
            cut, end = self._counting.run(lines, begin, self._policy, longest_bake=bake)
            self._polls += cut
            if self._counting.has_ended():
                self._next()  # and the line that ended it is the first one of the next
            else:
                begin = end

    def finish(self) -> list[Episode]:
        """The log ends here."""
        self._next()
        return self._found

    def _begins(self, line: Line) -> bool:
        """Whether `line` belongs to no attempt or to the next one."""
        counting = self._counting
        if not counting.release:
            return False
        if counting.baking is not None:
            return line.t > counting.baking + self._policy.bake.seconds
        if counting.weight != 0 or line.weight <= 0:
            return False
        since = counting.weights[-1][0]
        return line.epoch > counting.epoch or (line.epoch == counting.epoch and line.t > since + LONGEST_POLL)

    def _next(self) -> None:
        counting, polls = self._counting, self._polls
        if not counting.has_ended():
            polls += counting.idle(counting.seen + 2 * LONGEST_POLL, self._policy)
        if counting.release and counting.exposed is not None:
            self._found.append(self._episode(counting, counting.exposed, polls))
        behind = counting.epoch - (1 if counting.has_ended() else 0)
        self._counting, self._polls = Counting(after_epoch=max(0, behind)), []

    def _episode(self, counting: Counting, exposed: float, polls: list[Poll]) -> Episode:
        weights = [(t, int(weight)) for t, _, weight in counting.weights]
        rises = next((place for place, (_, weight) in enumerate(weights) if weight > 0), 0)
        weights = weights[rises:]
        down = weights[-1][0] if weights and weights[-1][1] == 0 else None
        promoted = True if counting.baking is not None else False if down is not None or counting.superseded else None
        ended = counting.baking if counting.baking is not None else down if down is not None else counting.seen
        return Episode(
            release=counting.release,
            baseline=counting.baseline[-1] if counting.baseline else "",
            started=exposed,
            ended=ended,
            polls=polls,
            requests=sum(count for step, count in counting.routed.items() if int(step) >= 0),
            failed=counting.failed,
            promoted=promoted,
            weights=tuple(weights),
            canary=self._canary,
        )


def _by_canary(lines: Lines) -> Iterator[tuple[str, Lines]]:
    if not lines.owner.any():
        yield "", lines
        return
    for code in sorted({int(code) for code in lines.owner}):
        yield lines.names[code], lines.chosen(lines.owner == code)


def chunks_of(path: Path) -> Iterator[memoryview]:
    """Whole lines of a file, some 4 MiB at a time; the last one may lack its newline. Each is valid until the next."""
    buffer = bytearray(_CHUNK)
    view, kept = memoryview(buffer), 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb", buffering=0) as file:
            while new := file.readinto(view[kept:]):
                filled = kept + new
                whole = buffer.rfind(b"\n", 0, filled) + 1 or (filled if filled == _CHUNK else 0)
                if whole:
                    yield view[:whole]
                kept = filled - whole
                view[:kept] = bytes(view[whole:filled])
            if kept:
                yield view[:kept]
    except (OSError, EOFError, zlib.error) as error:
        raise BadInput(str(error), where=str(path), remedy="name readable access logs, oldest first") from error
