"""All sources of one judge, read side by side: what is late or down is left out of this pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from coalmine.errors import BadInput
from coalmine.judge.patient import Patient
from coalmine.judge.policy import Policy
from coalmine.judge.sources import Batch, Label, Line, Outcomes, Position, Source
from coalmine.judge.sources.prometheus import prometheus_for

Positions = dict[str, Position | None]
Many = dict[str, Source[Outcomes]]
PROMETHEUS = "prometheus/"  # and the analysis' number: the name of such a reader's position


@dataclass(slots=True)
class News:
    """What one pass found. `positions` has the readers that went on, and where they are now."""

    lines: Sequence[Line] = ()
    labels: Sequence[Label] = ()
    outcomes: list[Outcomes] = field(default_factory=list)
    positions: Positions = field(default_factory=dict)
    more: bool = False
    skipped: int = 0


class Readers:
    """The log, the votes and the pushes of one judge, and a reader of Prometheus for each analysis that has one."""

    def __init__(
        self,
        *,
        log: Source[Line] | None = None,
        votes: Source[Label] | None = None,
        prometheus: str = "",
        failed: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._server, self._failed = prometheus, failed
        self._log = None if log is None else Patient("log", log.read, failed=failed)
        self._votes = None if votes is None else Patient("votes", votes.read, failed=failed)
        self._pushed: Patient[Position | None, Batch[Outcomes]] | None = None
        self._queries = Patient("prometheus", self._read_all, failed=failed)

    def pushes(self, source: Source[Outcomes]) -> None:
        """Read what is pushed, too: it asks for the policies of what runs, so it is there after the desk."""
        self._pushed = Patient("push", source.read, failed=self._failed)

    def read(self, positions: Positions, queries: Many) -> News:
        """Everything after `positions`. `queries`: by name of position, the running analyses' own readers."""
        news = News()
        if self._log is not None and (lines := self._log.ask(positions.get("log"))) is not None:
            news.lines, news.skipped = lines.items, lines.skipped
            _went_on(news, "log", lines)
        if self._votes is not None and (labels := self._votes.ask(positions.get("votes"))) is not None:
            news.labels = labels.items
            _went_on(news, "votes", labels)
        if self._pushed is not None and (pushed := self._pushed.ask(positions.get("push"))) is not None:
            news.outcomes += pushed.items
            _went_on(news, "push", pushed)
        for name, batch in self._ask_prometheus(positions, queries).items():
            news.outcomes += batch.items
            _went_on(news, name, batch)
        return news

    def of(self, namespace: str, name: str, policy: Policy) -> Source[Outcomes] | None:
        """The reader of Prometheus that this policy asks for; None where it asks for nothing.

        Raises BadInput where a query cannot work, or this judge was given no Prometheus.
        """
        wanted = policy.prometheus.profile or policy.prometheus.queries
        if wanted and not self._server:
            what = f"the policy of {namespace}/{name} reads Prometheus, and this judge was given none"
            raise BadInput(what, where="prometheus", remedy="start the judge with --prometheus URL")
        return prometheus_for(self._server, policy, namespace, name)

    def _ask_prometheus(self, positions: Positions, queries: Many) -> dict[str, Batch[Outcomes]]:
        """A late answer counts for those readers that are still where it began."""
        if not queries:
            return {}
        answer = self._queries.ask({name: (source, positions.get(name)) for name, source in queries.items()})
        return answer or {}

    def _read_all(self, asked: dict[str, tuple[Source[Outcomes], Position | None]]) -> dict[str, Batch[Outcomes]]:
        """Each of them. One without a usable answer counts that itself, and goes on where it was."""
        found = {}
        for name, (source, position) in asked.items():
            before = getattr(source, "failures", 0)
            found[name] = source.read(position)
            if getattr(source, "failures", 0) > before:
                self._failed("prometheus")
        return found


def _went_on(news: News, name: str, batch: Batch[Line] | Batch[Label] | Batch[Outcomes]) -> None:
    news.positions[name] = batch.position
    news.more = news.more or batch.more
