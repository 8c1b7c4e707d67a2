"""What the judge counts of its own work; /metrics shows it."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from coalmine.judge.readers import News

disable_created_metrics()  # type: ignore[no-untyped-call] # a series more for each counter, which nothing here reads
_PASS_BUCKETS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)


class Tally:
    """Counters of one desk, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.last_pass = 0.0  # Unix seconds
        self.lines = self._counter("lines", "requests read from the access log")
        self.votes = self._counter("votes", "votes read from the feedback store")
        self.outcomes = self._counter("outcomes", "counts read from Prometheus and from pushes")
        self.skipped = self._counter("lines_skipped", "lines that could not be read")
        self.polls = self._counter("polls", "polls cut and stored")
        self.failures = self._counter("pass_failures", "passes that failed, by the database or by a bug")
        self.source_failures = self._counter("source_failures", "reads that failed or took too long", "source")
        self.hooks = self._counter("hook_answers", "hooks answered", "kind", "status")
        self.pass_seconds = Histogram(
            "coalmine_judge_pass_seconds",
            "time of one pass over the sources",
            buckets=_PASS_BUCKETS,
            registry=self.registry,
        )
        self.leads = Gauge("coalmine_judge_leads", "1 where this replica decides", registry=self.registry)
        self.term = Gauge("coalmine_judge_lease_term", "the term of the lease held, 0: none", registry=self.registry)

    def _counter(self, name: str, told: str, *labels: str) -> Counter:
        return Counter(f"coalmine_judge_{name}", told, labels, registry=self.registry)

    def took(self, news: News, polls: int) -> None:
        """What one pass read and cut."""
        self.lines.inc(len(news.lines))
        self.votes.inc(len(news.labels))
        self.outcomes.inc(len(news.outcomes))
        self.skipped.inc(news.skipped)
        self.polls.inc(polls)
