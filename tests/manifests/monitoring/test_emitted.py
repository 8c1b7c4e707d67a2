"""The table of series against the programs: what it lists, they emit, with these labels."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from coalmine.cluster.tally import Tally as CloserTally
from coalmine.drift import metrics as drift
from coalmine.drift.health import health
from coalmine.feedback.api import FeedbackApi
from coalmine.feedback.store import FeedbackStore
from coalmine.judge.profiles import PROFILES
from coalmine.judge.tally import Tally as JudgeTally
from coalmine.lint import emitted as known_to_lint
from manifests.monitoring.estate import HERE, RULES, emitted
from manifests.monitoring.promql import selectors

TABLE = yaml.safe_load((HERE / "emitted.yaml").read_text(encoding="utf-8"))


def table(job: str) -> dict[str, set[str]]:
    """Families as a client names them: counters without `_total`, histograms by their base."""
    rows = {**TABLE[job].get("counters", {}), **TABLE[job].get("gauges", {}), **TABLE[job].get("histograms", {})}
    return {name.removesuffix("_total"): set(labels) for name, labels in rows.items()}


def labels(registry: CollectorRegistry) -> dict[str, set[str]]:
    """Declared labels by family: a family without a sample yet shows none."""
    collectors = registry._collector_to_names
    return {one._name: set(one._labelnames) for one in collectors if isinstance(one, MetricWrapperBase)}


def test_the_judges_own_work() -> None:
    """All that it counts of itself; what it shows of analyses, test_live asks of a judge that runs."""
    found = labels(JudgeTally().registry)
    rows = {name: row for name, row in table("judge").items() if name.startswith("coalmine_judge_")}
    assert {name: row for name, row in found.items() if name in rows} == rows
    assert set(found) == set(rows)


def test_the_closers() -> None:
    """All of them."""
    assert labels(CloserTally().registry) == table("closer")


def test_the_looks_of_drift() -> None:
    """All of them, whether anything was found or not."""
    assert labels(drift.registry(health([], made_at=0.0, model="m", alpha=0.05))) == table("drift")


def test_the_feedback_services(tmp_path: Path) -> None:
    """All of them."""
    api = FeedbackApi(FeedbackStore(tmp_path / "votes.db"), key=b"k" * 32)
    assert labels(api._registry) == table("feedback")
    api.close()


@pytest.mark.parametrize("name", [name for name in sorted(emitted()) if not name.startswith("coalmine_closer_")])
def test_the_linter_knows_the_same_series(name: str) -> None:
    """It refuses a MetricTemplate by its own table."""
    assert known_to_lint.emitter(name), name


@pytest.mark.parametrize("profile", ["envoy-gateway", "bentoml", "flagger"])
def test_the_judges_profiles_ask_for_the_same_series(profile: str) -> None:
    """What the judge reads is what the dashboards show."""
    one = PROFILES[profile]
    for text in [
        one.weight,
        *(text for query in one.queries.values() for field, text in query.items() if field != "unit"),
    ]:
        for asked in selectors(text.replace("{arm}", 'envoy_cluster_name="x"')):
            assert asked.name in emitted(), asked.name


def test_the_scrape_keeps_what_is_asked_for() -> None:
    """Envoy has hundreds of series; the configuration keeps those that it names."""
    made = yaml.safe_load((RULES.parent / "prometheus.yml").read_text(encoding="utf-8"))
    envoy = next(one for one in made["scrape_configs"] if one["job_name"] == "envoy")
    kept = [one["regex"] for one in envoy["metric_relabel_configs"] if one["action"] == "keep"]
    for name in emitted():
        if name.startswith("envoy_"):
            assert all(re.fullmatch(regex, name) for regex in kept), name
