"""Counts of one analysis from Prometheus: raw counters, differenced here, on from exactly where the reader was.

Prometheus is asked for the samples themselves (see promapi), so each has the time of its own scrape: one that is older
than the policy's `fresh_seconds` is not there, and a target that went away is no data. A server that is down, slow or
talks nonsense is no data too; what it missed is counted when it answers again, since the raw values are kept.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator

import httpx
import structlog

from coalmine.errors import BadInput, Temporary
from coalmine.judge.counting import Counting
from coalmine.judge.policy import Policy
from coalmine.judge.sources import Batch, Outcomes, Position, Source
from coalmine.judge.sources.promapi import Api, Recorded, Series, Server, Unavailable, http_client, shown
from coalmine.judge.sources.questions import questions, releases, weights
from coalmine.judge.sources.reading import Answers, Reading, State
from coalmine.records import Poll

_LONGEST = 600.0  # seconds of samples in one question, after a silence; before that only the last values matter
_BUDGET = 3.0  # seconds for one reading
_SETTLED = 60.0  # seconds after the end of a range: whatever was begun is cut by then
_log = structlog.get_logger("coalmine.judge")


class PrometheusSource:
    """A Source of Outcomes for one analysis. Reads at most every `policy.prometheus.every_seconds`.

    `failures` counts readings without a usable answer, `error` is the last one's cause ("" when it works again).
    `problem` is a BadInput that only the data could show: an edge that is no bucket's; that metric has no data then.
    """

    def __init__(
        self,
        url: str,
        policy: Policy,
        *,
        namespace: str,
        name: str,
        client: httpx.Client | None = None,
        api: Api | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._policy, self._key, self._clock = policy, (namespace, name), clock
        self._questions = questions(policy, namespace=namespace, name=name)
        self._weights = weights(policy, namespace=namespace, name=name)
        self._releases = releases(policy, namespace=namespace, name=name)
        self._api = api or Server(client or http_client(url), budget=_BUDGET)
        self._due = float("-inf")
        self.failures, self.error = 0, ""
        self.problem: BadInput | None = None

    def read(self, position: Position | None) -> Batch[Outcomes]:
        """What was counted since `position`. The first reading only remembers. Never raises."""
        now = self._clock()
        if self._due - self._policy.prometheus.every_seconds <= now < self._due:
            return Batch((), position)
        self._due = now + self._policy.prometheus.every_seconds
        try:
            batch = self.reading(position, end=now)
        except Unavailable as error:
            self.failures += 1
            if not self.error:
                _log.warning("prometheus does not answer", canary="/".join(self._key), error=str(error))
            self.error = str(error)
            return Batch((), position)
        self.error = ""
        return batch

    def reading(self, position: Position | None, *, end: float) -> Batch[Outcomes]:
        """One reading as of `end`, in Unix seconds. Raises Unavailable; then nothing has changed."""
        state = State.load(position)
        fresh = self._policy.fresh_seconds
        since = end if state.read is None else state.read
        start = end - min(max(end - since, 0.0) + fresh, max(_LONGEST, fresh))
        self._api.begin()
        answers: Answers = [(one, self._all(one.selectors, start, end)) for one in self._questions]
        reading = Reading(self._policy, state, named=self._named(end - fresh, end))
        items = reading.take(answers, weight=self._weight(end - fresh, end), end=end, key=self._key)
        self._note(reading.problems)
        return Batch(tuple(items), state.dump(), skipped=len(reading.problems))

    def _all(self, selectors: Iterable[str], start: float, end: float) -> list[Series]:
        """Each series once, also where two selectors find it."""
        found = {
            tuple(sorted(one.labels.items())): one
            for selector in selectors
            for one in self._api.series(selector, start=start, end=end)
            if one.samples
        }
        return list(found.values())

    def _weight(self, start: float, end: float) -> int | None:
        """The canary's percentage by Flagger's gauge; None where it is not to be had."""
        last: dict[str, float] = {}
        for arm, selectors in self._weights.items():
            found = [one.samples[-1] for one in self._all(selectors, start, end)]
            if found:
                last[arm] = max(found)[1]
        whole = sum(last.values())
        return round(100 * last["canary"] / whole) if len(last) == 2 and whole > 0 else None

    def _named(self, start: float, end: float) -> dict[str, str]:
        """The release of each arm, by what was scraped; of two the one that came last. Two at once tell nothing."""
        named: dict[str, str] = {}
        for arm, selectors in self._releases.items():
            since: dict[str, float] = {}
            for one in self._all(selectors, start, end):
                release = one.labels.get("release", "")
                since[release] = min(since.get(release, math.inf), one.samples[0][0])
            last = [release for release, t in since.items() if t == max(since.values())]
            if len(last) == 1:
                named[arm] = last[0]
        return named

    def _note(self, problems: dict[str, BadInput]) -> None:
        problem = next(iter(problems.values()), None)
        if problem is not None and self.problem is None:
            _log.warning("the policy does not fit the series", canary="/".join(self._key), error=str(problem))
        self.problem = problem


def prometheus_for(url: str, policy: Policy, namespace: str, name: str) -> Source[Outcomes] | None:
    """The reader that this policy asks for; None where it asks for nothing.

    Raises:
        BadInput: a query that cannot work for its metric, or no address.
    """
    if not policy.prometheus.profile and not policy.prometheus.queries:
        return None
    return PrometheusSource(url, policy, namespace=namespace, name=name)


def episode_from_prometheus(
    url: str, policy: Policy, *, namespace: str, name: str, start: float, end: float, client: httpx.Client | None = None
) -> list[Poll]:
    """The polls that would have been cut from `start` to `end`: read, differenced and cut by the code that runs live.

    Raises:
        BadInput: the policy asks for nothing, or for what the series don't have.
        Temporary: Prometheus does not answer.
    """
    api = Recorded(Server(client or http_client(url), budget=30.0))
    source = PrometheusSource(url, policy, namespace=namespace, name=name, api=api)
    counting, position = Counting(), None
    polls: list[Poll] = []
    try:
        for now in _moments(start, end, policy.prometheus.every_seconds):
            batch = source.reading(position, end=now)
            if source.problem is not None:
                raise source.problem
            position = batch.position
            polls += counting.outcomes(batch.items, policy) + counting.idle(now, policy)
    except Unavailable as error:
        what = f"Prometheus does not answer: {error}"
        raise Temporary(what, where=shown(url), remedy="try again when it does") from error
    return polls + counting.idle(end + _SETTLED, policy)


def _moments(start: float, end: float, every: float) -> Iterator[float]:
    """When it is read: at every step, and once more at the end."""
    steps = math.ceil(max(0.0, end - start) / every - 1e-9)
    yield from (start + number * every for number in range(steps))
    yield end
