"""Counts from Prometheus: each event seen at a scrape is counted once and to its arm, and never more than happened."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coalmine.errors import BadInput
from coalmine.judge.policy import load_policy
from coalmine.judge.sources import Outcomes, Position
from coalmine.judge.sources.promapi import Api
from coalmine.judge.sources.prometheus import PrometheusSource, prometheus_for
from unit.judge.scraped import Scraped

QUERIES = {
    "errors": {"total": 'requests{arm="{workload}"}', "bad": 'requests{arm="{workload}",code=~"5.."}'},
    "latency": {"buckets": 'seconds_bucket{arm="{workload}"}'},
}
ARMS = ("canary", "primary")
ONLY = {"latency": None, "feedback": None}


def policy_text(*, metrics: dict[str, Any] | None = None, queries: dict[str, Any] | None = None, **more: Any) -> str:
    names = {"canary": "canary", "primary": "primary"}
    asked = QUERIES["errors"] if queries is None else queries
    found = {"errors": asked} if queries is None else queries
    return json.dumps({"metrics": metrics or ONLY, "prometheus": {**names, "queries": found}, **more})


class Reader:
    """A source over `scraped`, at times that the test says; `restarted` keeps the position alone, through JSON."""

    def __init__(self, api: Api, text: str | None = None) -> None:
        self.api, self.text, self.now = api, text or policy_text(), 0.0
        self.position: Position | None = None
        self.restarted()

    def restarted(self) -> None:
        self.position = json.loads(json.dumps(self.position))
        policy = load_policy(self.text)
        self.source = PrometheusSource(
            "http://unused.invalid", policy, namespace="n", name="m", api=self.api, clock=lambda: self.now
        )

    def read(self, now: float) -> list[Outcomes]:
        self.now = now
        batch = self.source.read(self.position)
        self.position = batch.position
        return list(batch.items)


def sums(items: list[Outcomes]) -> dict[tuple[str, str, str], tuple[int, int]]:
    n: Counter[tuple[str, str, str]] = Counter()
    e: Counter[tuple[str, str, str]] = Counter()
    for one in items:
        n[one.metric, one.arm, one.part] += one.n
        e[one.metric, one.arm, one.part] += one.e
    return {key: (n[key], e[key]) for key in n}


def test_the_first_reading_only_remembers_and_the_next_counts_what_came_since() -> None:
    """Resets count from 0, a code first seen later is all new, and each arm has its own."""
    scraped = Scraped()
    reader = Reader(scraped)
    scraped.scrape(100, "requests", 1000, arm="canary", code="200")
    scraped.scrape(100, "requests", 9000, arm="primary", code="200")
    assert reader.read(101) == []
    scraped.scrape(110, "requests", 1030, arm="canary", code="200")
    scraped.scrape(110, "requests", 3, arm="canary", code="500")
    scraped.scrape(110, "requests", 7, arm="primary", code="200")  # it began anew
    found = reader.read(111)
    assert sums(found) == {("errors", "canary", ""): (33, 3), ("errors", "primary", ""): (7, 0)}
    assert {one.t for one in found} == {110}
    assert reader.read(121) == []  # the same samples again


def test_a_process_that_was_never_seen_is_remembered_and_not_counted() -> None:
    """What it has counted may be years old: Prometheus or the judge may have begun after it."""
    scraped = Scraped()
    reader = Reader(scraped)
    scraped.scrape(100, "requests", 50, arm="primary", code="200")
    reader.read(101)
    scraped.scrape(105, "requests", 1_000_000, arm="canary", code="200", instance="b:1")
    assert reader.read(111) == []
    scraped.scrape(115, "requests", 1_000_004, arm="canary", code="200", instance="b:1")
    scraped.scrape(115, "requests", 1, arm="canary", code="503", instance="b:1")
    assert sums(reader.read(121)) == {("errors", "canary", ""): (5, 1)}


def test_an_old_sample_is_no_data_and_what_was_missed_is_counted_later() -> None:
    """A target that is gone for a while loses nothing that its counters kept."""
    scraped = Scraped()
    reader = Reader(scraped)
    scraped.scrape(100, "requests", 10, arm="canary", code="200")
    reader.read(101)
    for now in (150, 200, 300):
        assert reader.read(now) == []
    scraped.scrape(310, "requests", 25, arm="canary", code="200")
    assert sums(reader.read(311)) == {("errors", "canary", ""): (15, 0)}


def test_it_asks_no_more_often_than_the_policy_says() -> None:
    """Whoever reads may call as often as they like."""
    scraped = Scraped()
    reader = Reader(scraped)
    for now in (100, 103, 109.9, 110.1):
        reader.read(now)
    assert len(scraped.asked) == 2 * 4


def test_a_failure_scraped_before_its_request_waits_for_it() -> None:
    """No poll has more failures than requests."""
    scraped = Scraped()
    queries = {"errors": {"total": 'all{arm="{workload}"}', "bad": 'bad{arm="{workload}"}'}}
    reader = Reader(scraped, policy_text(queries=queries))
    for name in ("all", "bad"):
        scraped.scrape(100, name, 0, arm="canary")
    reader.read(101)
    scraped.scrape(110, "all", 1, arm="canary")
    scraped.scrape(110, "bad", 3, arm="canary")
    assert sums(reader.read(111)) == {("errors", "canary", ""): (1, 1)}
    scraped.scrape(120, "all", 4, arm="canary")
    scraped.scrape(120, "bad", 3, arm="canary")
    assert sums(reader.read(121)) == {("errors", "canary", ""): (3, 2)}


@dataclass
class World:
    """Two arms whose processes count, end and begin anew, and what one can see of it at the scrapes."""

    scraped: Scraped = field(default_factory=Scraped)
    raw: Counter[tuple[str, str]] = field(default_factory=lambda: Counter({(arm, "200"): 5 for arm in ARMS}))
    shown: Counter[tuple[str, str]] = field(default_factory=Counter)
    seen: Counter[tuple[str, str]] = field(default_factory=Counter)

    def scrape(self, t: float) -> None:
        """A process that began anew and has counted as much as before looks like one that went on."""
        for key, value in self.raw.items():
            self.scraped.scrape(t, "requests", value, arm=key[0], code=key[1])
            self.seen[key] += value - (self.shown[key] if value >= self.shown[key] else 0)
            self.shown[key] = value


@settings(max_examples=80)
@given(data=st.data())
def test_the_sum_of_outcomes_is_what_happened(data: st.DataObject) -> None:
    """With resets between scrapes, several scrapes a reading, silences and restarts of the judge at any time."""
    world, t = World(), 1000.0
    reader, items = Reader(world.scraped), list[Outcomes]()
    world.scrape(t)
    reader.read(t)
    world.seen.clear()
    for _ in range(data.draw(st.integers(1, 12))):
        t += data.draw(st.sampled_from([1.0, 5.0, 15.0, 70.0]))
        for arm, code in data.draw(st.lists(st.sampled_from([(a, c) for a in ARMS for c in ("200", "500")]))):
            if data.draw(st.booleans()):
                world.raw.update({(arm, c): -world.raw[arm, c] for c in ("200", "500")})
            world.raw[arm, code] += data.draw(st.integers(0, 9))
        world.scrape(t)
        if data.draw(st.booleans()):
            reader.restarted()
        if data.draw(st.booleans()):
            items += reader.read(t + 0.5)
    items += reader.read(t + 20)
    for arm in ARMS:
        happened = (world.seen[arm, "200"] + world.seen[arm, "500"], world.seen[arm, "500"])
        assert sums(items).get(("errors", arm, ""), (0, 0)) == happened


def _buckets(scraped: Scraped, t: float, arm: str, counts: dict[str, int]) -> None:
    for le, value in counts.items():
        scraped.scrape(t, "seconds_bucket", value, arm=arm, le=le)


def test_a_reading_is_one_slice_of_latency_for_each_arm_and_edge() -> None:
    """Bad where more than the policy's share of its requests was slower; too few requests wait for more."""
    scraped = Scraped()
    metrics = {**ONLY, "latency": {"edge_seconds": 0.1, "more_edges": [0.5]}}
    reader = Reader(scraped, policy_text(metrics=metrics, queries={"latency": QUERIES["latency"]}))
    for arm in ("canary", "primary"):
        _buckets(scraped, 100, arm, {"0.1": 0, "0.5": 0, "1.0": 0, "+Inf": 0})
    reader.read(101)
    _buckets(scraped, 110, "canary", {"0.1": 16, "0.5": 20, "1.0": 20, "+Inf": 20})
    _buckets(scraped, 110, "primary", {"0.1": 2, "0.5": 3, "1.0": 3, "+Inf": 3})
    canary = {("latency", "canary", ""): (1, 1), ("latency", "canary", "0.5"): (1, 0)}
    assert sums(reader.read(111)) == canary
    _buckets(scraped, 120, "primary", {"0.1": 18, "0.5": 20, "1.0": 20, "+Inf": 20})
    reader.restarted()
    assert sums(reader.read(121)) == {("latency", "primary", ""): (1, 0), ("latency", "primary", "0.5"): (1, 0)}


def test_an_edge_that_is_no_buckets_is_a_problem_that_names_those_there_are() -> None:
    """The metric has no data then; others go on."""
    scraped = Scraped()
    metrics = {"feedback": None, "latency": {"edge_seconds": 0.2}}
    reader = Reader(scraped, policy_text(metrics=metrics, queries=QUERIES))
    found: list[Outcomes] = []
    for t, value in ((100, 0), (110, 9)):
        _buckets(scraped, t, "canary", {"0.1": value, "0.5": value, "+Inf": value})
        scraped.scrape(t, "requests", value, arm="canary", code="200")
        found += reader.read(t + 1)
    assert sums(found) == {("errors", "canary", ""): (9, 0)}
    assert reader.source.problem is not None
    assert "0.2" in reader.source.problem.what
    assert "0.1, 0.5" in reader.source.problem.remedy


def test_counts_mix_and_resources_have_their_own_shapes() -> None:
    """Events above the exposure; classes by label; a limit, and growth against the primary's."""
    scraped = Scraped()
    metrics = {
        **ONLY, "fallbacks": {"kind": "counts"}, "mix": {"classes": ["a", "b"]},
        "memory": {"kind": "resource", "limit": 150, "window_seconds": 10},
    }  # fmt: skip
    queries = {
        "fallbacks": {"total": 'exposure{arm="{workload}"}', "bad": 'events{arm="{workload}"}'},
        "mix": {"total": 'answers{arm="{workload}"}'}, "memory": {"value": 'bytes{arm="{workload}"}'},
    }  # fmt: skip
    reader = Reader(scraped, policy_text(metrics=metrics, queries=queries))
    found: list[Outcomes] = []
    for step in range(3):
        t = 100.0 + 10 * step
        for arm, leak in (("canary", 30), ("primary", 0)):
            scraped.scrape(t, "exposure", 4 * step, arm=arm)
            scraped.scrape(t, "events", 5 * step, arm=arm)
            scraped.scrape(t, "answers", 3 * step, arm=arm, class_="a")
            scraped.scrape(t, "answers", 2 * step, arm=arm, class_="other")
            scraped.scrape(t, "bytes", 100 + leak * step, arm=arm)
        found += reader.read(t + 1)
        reader.restarted()
    assert {key: value for key, value in sums(found).items() if key[1] == "canary"} == {
        ("fallbacks", "canary", ""): (8, 10), ("mix", "canary", "a"): (10, 6), ("mix", "canary", "b"): (10, 0),
        ("memory", "canary", "limit"): (3, 1), ("memory", "canary", "growth"): (2, 2),
    }  # fmt: skip
    assert sums(found)["memory", "primary", "growth"] == (2, 0)


def test_the_weight_is_that_of_the_reading_before_and_the_release_is_the_series_own() -> None:
    """What came while the weight changed is not credited to the new step; a release of both arms tells nothing."""
    scraped = Scraped()
    text = json.loads(policy_text())
    text["prometheus"] |= {"profile": "flagger"}
    reader = Reader(scraped, json.dumps(text))
    weights, releases = (10, 10, 20, 20), ("v2", "v2", "v2", "v1")
    told = []
    for step, (weight, release) in enumerate(zip(weights, releases, strict=True)):
        t = 100.0 + 10 * step
        for arm, share, version in (("canary", weight, release), ("primary", 100 - weight, "v1")):
            scraped.scrape(t, "flagger_canary_weight", share, workload=arm, namespace="n")
            scraped.scrape(t, "requests", 10 * (step + 1), arm=arm, code="200", version=version)
        told += [(one.weight, one.release) for one in reader.read(t + 1) if one.arm == "canary"]
    assert told == [(10, "v2"), (10, "v2"), (20, "")]


def test_where_counters_know_no_release_the_targets_name_it_and_the_newest_pod_counts() -> None:
    """A proxy's counters know arms only. A pod that still ends says nothing of the new one; main may have gone back."""
    scraped = Scraped()
    text = json.loads(policy_text())
    text["prometheus"] |= {"profile": "flagger"}
    reader = Reader(scraped, json.dumps(text))
    told = []
    v2 = {"b": "v2"}
    for step, pods in enumerate(({}, {"a": "v1"}, {"a": "v1", **v2}, v2, {**v2, "c": "v9", "d": "v8"}, {"e": "v0"})):
        t = 100.0 + 10 * step
        for arm in ARMS:
            scraped.scrape(t, "requests", 10 * (step + 1), arm=arm, code="200")
        for pod, release in pods.items():
            scraped.scrape(t, "up", 1, workload="canary", namespace="n", pod=pod, release=release)
        scraped.scrape(t, "up", 1, workload="primary", namespace="n", pod="p", release="v0")
        told += [one.release for one in reader.read(t + 1) if one.arm == "canary"]
    assert told == ["v1", "v2", "v2", "", "v0"]


@pytest.mark.parametrize(
    ("queries", "says"),
    [
        ({"speed": QUERIES["latency"]}, "no such metric"),
        ({"errors": {"total": 'requests{arm="{workload}"}'}}, "bad is missing"),
        ({"errors": {"total": "requests", "bad": "failures"}}, "same for both arms"),
        ({"rating": QUERIES["errors"]}, "cannot be had from counters"),
    ],
)
def test_queries_that_cannot_work_are_told_before_anything_is_asked(queries: dict[str, Any], says: str) -> None:
    """With the metric's name."""
    text = policy_text(metrics={**ONLY, "rating": {"kind": "score"}}, queries=queries)
    with pytest.raises(BadInput, match=says):
        prometheus_for("http://127.0.0.1:9", load_policy(text), "n", "m")


def test_without_a_profile_or_queries_nothing_is_asked() -> None:
    """An address that is none is refused where something is."""
    assert prometheus_for("http://127.0.0.1:9", load_policy(""), "n", "m") is None
    with pytest.raises(BadInput, match="http"):
        prometheus_for("prometheus:9090", load_policy(policy_text()), "n", "m")
