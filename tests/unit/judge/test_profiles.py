"""Each profile tells the arms of its proxy or server apart, on series as that project writes them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from coalmine.errors import BadInput
from coalmine.judge.hooks import KINDS
from coalmine.judge.policy import Prometheus, Query, load_policy
from coalmine.judge.profiles import PROFILES
from coalmine.judge.selectors import check, split
from coalmine.judge.sources import Outcomes
from coalmine.judge.sources.bodies import Pushed
from coalmine.judge.sources.prometheus import PrometheusSource
from coalmine.judge.sources.push import check as check_push
from coalmine.judge.sources.questions import questions
from e2e.snippets import blocks
from unit.judge.profiles_page import PAGE, render
from unit.judge.scraped import Scraped

Scrape = Callable[[Scraped, float, int], None]
LES = ("50", "100", "500", "+Inf")


def _istio(scraped: Scraped, t: float, times: int) -> None:
    for workload, bad in (("m", 2), ("m-primary", 0)):
        arm = {"destination_workload": workload, "destination_workload_namespace": "n", "reporter": "source"}
        scraped.scrape(t, "istio_requests_total", 9 * times, **arm, response_code="200", instance="gateway")
        scraped.scrape(t, "istio_requests_total", bad * times, **arm, response_code="503", instance="gateway")
        other = {**arm, "reporter": "destination"}
        scraped.scrape(t, "istio_requests_total", 9 * times, **other, response_code="200", instance="sidecar")
        for le in LES:
            name = "istio_request_duration_milliseconds_bucket"
            scraped.scrape(t, name, 0 if le == "50" else 9 * times, **arm, le=le, instance="gateway")


def _envoy(scraped: Scraped, t: float, times: int) -> None:
    for backend, bad in (("1", 1), ("0", 0)):
        arm = {"envoy_cluster_name": f"httproute/n/m/rule/0/backend/{backend}"}
        scraped.scrape(t, "envoy_cluster_upstream_rq_xx", (9 + bad) * times, **arm, envoy_response_code_class="2")
        scraped.scrape(t, "envoy_cluster_upstream_rq_xx", bad * times, **arm, envoy_response_code_class="5")
        scraped.scrape(t, "envoy_cluster_upstream_cx_protocol_error", bad * times, **arm)
        for le in LES:
            scraped.scrape(t, "envoy_cluster_upstream_rq_time_bucket", 0 if le == "50" else 9 * times, **arm, le=le)


def _nginx(scraped: Scraped, t: float, times: int, prefix: str = "") -> None:
    own = {"namespace": "ingress-nginx", "service": "controller-metrics"} if prefix else {}
    for canary, bad in (("n-m-canary-80", 2), ("", 0)):
        arm = {**own, f"{prefix}namespace": "n", f"{prefix}service": "m", "ingress": "web", "canary": canary}
        scraped.scrape(t, "nginx_ingress_controller_requests", 9 * times, **arm, status="200")
        scraped.scrape(t, "nginx_ingress_controller_requests", bad * times, **arm, status="502")
        for le in LES:
            name = "nginx_ingress_controller_response_duration_seconds_bucket"
            seconds = le if le == "+Inf" else f"{int(le) / 1000:g}"
            scraped.scrape(t, name, 0 if le == "50" else 9 * times, **arm, le=seconds)


def _nginx_renamed(scraped: Scraped, t: float, times: int) -> None:
    _nginx(scraped, t, times, "exported_")


def _bentoml(scraped: Scraped, t: float, times: int) -> None:
    for workload, bad in (("m", 2), ("m-primary", 0)):
        pod = f"{workload}-6c5f7d9b48-x2b7q"
        arm = {"namespace": "n", "pod": pod, "instance": pod, "service_version": "not available"}
        for code, value in (("200", 9), ("500", bad)):
            name = "bentoml_service_request_total"
            scraped.scrape(t, name, value * times, **arm, endpoint="/predict", http_response_code=code)
        scraped.scrape(
            t, "bentoml_service_request_total", 60 * times, **arm, endpoint="/readyz", http_response_code="200"
        )
        for le in LES:
            name, seconds = (
                "bentoml_service_request_duration_seconds_bucket",
                le if le == "+Inf" else str(int(le) / 1000),
            )
            scraped.scrape(t, name, 0 if le == "50" else 9 * times, **arm, endpoint="/predict", le=seconds)


SHAPES: list[tuple[str, Scrape]] = [
    ("istio", _istio), ("envoy-gateway", _envoy), ("nginx", _nginx), ("nginx", _nginx_renamed), ("bentoml", _bentoml),
]  # fmt: skip


@pytest.mark.parametrize(("profile", "scrape"), SHAPES)
def test_each_profile_counts_each_arm(profile: str, scrape: Scrape) -> None:
    """Errors and latency to their arm, once, with Flagger's weight; probes and other reporters left out."""
    policy = load_policy(json.dumps({"metrics": {"feedback": None}, "prometheus": {"profile": profile}}))
    scraped, position = Scraped(), None
    source = PrometheusSource("http://unused.invalid", policy, namespace="n", name="m", api=scraped)
    items: list[Outcomes] = []
    for times in (1, 2):
        t = 100.0 * times
        scrape(scraped, t, times)
        scraped.scrape(t, "flagger_canary_weight", 25, exported_namespace="n", namespace="flagger", workload="m")
        scraped.scrape(
            t, "flagger_canary_weight", 75, exported_namespace="n", namespace="flagger", workload="m-primary"
        )
        batch = source.reading(position, end=t + 1)
        position = batch.position
        items += batch.items
    assert {(one.metric, one.arm): (one.n, one.e) for one in items} == {
        ("errors", "canary"): (11, 2), ("errors", "primary"): (9, 0),
        ("latency", "canary"): (1, 0), ("latency", "primary"): (1, 0),
    }  # fmt: skip
    assert {one.weight for one in items} == {25}
    assert {one.release for one in items} == {""}


@pytest.mark.parametrize("name", PROFILES)
def test_each_text_of_the_table_is_a_selector(name: str) -> None:
    """And every profile says how the arms are told apart, and what one must know."""
    one = PROFILES[name]
    texts = [text for query in one.queries.values() for field, text in query.items() if field != "unit"]
    for text in (one.weight, *texts):
        check(text)
    assert all("{workload}" in text or "{arm}" in text for text in texts)
    assert one.told_by
    assert one.remarks


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rate(x[1m])",
        "sum(x)",
        "sum by (pod) (x)",
        "x[5m]",
        "x offset 5m",
        "x + y",
        "x or",
        'x{a="b"',
        "x{a=b}",
        "x{{arm}",
    ],
)
def test_what_is_no_selector_is_refused(text: str) -> None:
    """Before Prometheus is asked."""
    with pytest.raises(ValueError, match="selector"):
        split(text)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("x", ("x",)),
        ('x{a="}\\" or y"}', ('x{a="}\\" or y"}',)),
        ("{a=~'b|c',d!='e',}", ("{a=~'b|c',d!='e',}",)),
        (' a:b{c!~"d"}  or\ny or{e="f"} ', ('a:b{c!~"d"}', "y", '{e="f"}')),
        ('x{a="b"}or order', ('x{a="b"}', "order")),
    ],
)
def test_what_is_a_selector_is_taken_apart_at_or(text: str, parts: tuple[str, ...]) -> None:
    """Never inside quotes."""
    assert split(text) == parts


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"profile": "istoi"}, "no profile 'istoi'; there are istio, envoy-gateway"),
        ({"queries": {"errors": {"total": "rate(x[1m])"}}}, "queries.errors.total.*no rate"),
        ({"queries": {"errors": {"total": "x{{arm}}"}}}, "needs a profile"),
        ({"queries": {"errors": {"total": 'x{a="{target}"}'}}}, "no placeholder"),
        ({"queries": {"errors": {"totl": "x"}}}, "queries.errors.totl"),
    ],
)
def test_a_policy_that_asks_nonsense_is_refused_with_its_line(given: dict[str, Any], says: str) -> None:
    """Known names are listed."""
    with pytest.raises(BadInput, match=says):
        load_policy(json.dumps({"prometheus": given}))


def test_a_policy_is_read_without_numpy_and_without_a_client() -> None:
    """The push check reads policies in git's hooks."""
    code = "import sys, coalmine.judge.policy; sys.exit(bool({'numpy', 'httpx', 'sqlalchemy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_the_page_on_prometheus_is_what_the_table_says() -> None:
    """Else: `.venv/bin/python tests/unit/judge/profiles_page.py` writes it anew."""
    assert PAGE.read_text(encoding="utf-8") == render()


def test_each_field_has_its_row() -> None:
    """Of the policy's part and of a query."""
    page = PAGE.read_text(encoding="utf-8")
    for name, field in {**Prometheus.model_fields, **Query.model_fields}.items():
        found = re.search(rf"^\| `{name}` \|.*$", page, re.MULTILINE)
        assert found, name
        if name in ("canary", "primary", "every_seconds"):
            assert f"`{field.default}`" in found[0]


def test_what_the_guide_shows_can_be_used() -> None:
    """Its policies and its push read well, its webhooks have types that the judge knows, and none is a `rollout`."""
    guide = PAGE.parents[1] / "how-to" / "judge-beside-flagger.md"
    shown = [yaml.safe_load(block.text) for block in blocks(guide, "yaml")]
    for policy in (one for one in shown if "prometheus" in one):
        assert questions(load_policy(json.dumps(policy)), namespace="test", name="podinfo")
    (canary,) = (one for one in shown if one.get("kind") == "Canary")
    hooks = canary["spec"]["analysis"]["webhooks"]
    assert {hook["type"] for hook in hooks} == {*KINDS} - {"rollout"}
    assert all(hook["url"].endswith(f"/hooks/{hook['type']}") for hook in hooks)
    (body,) = blocks(guide, "json")
    check_push(Pushed.model_validate_json(body.text), load_policy(""))
