"""Which series an expression asks for, and who emits them."""

from __future__ import annotations

import pytest

from coalmine.judge.profiles import PROFILES
from coalmine.lint.emitted import emitter
from coalmine.lint.queries import series


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('up{job="judge"} == 0', {"up"}),
        ("sum by (le, arm) (rate(a_bucket[5m])) / on(x) group_left(y) b_total offset 5m", {"a_bucket", "b_total"}),
        ('histogram_quantile(0.99, sum(rate(h_bucket{path=~"/a{1,2}"}[1m])) by (le))', {"h_bucket"}),
        ('label_replace(a, "dst", "$1", "src", "(.*)") > bool 1e3', {"a"}),
        ("job:a:rate5m and absent(b) or vector(0)", {"job:a:rate5m", "b"}),
        ('{__name__="odd", x="y"}', {"odd"}),
        ('a{namespace="{{ namespace }}"}[{{ interval }}]', {"a"}),
        ('rate(a_total{arm=~"$arm"}[$__rate_interval]) # a comment', {"a_total"}),
        ("max_over_time(a[1h:5m]) > inf", {"a"}),
        ("1 - (a / b)", {"a", "b"}),
    ],
)
def test_the_series_of_an_expression(text: str, names: set[str]) -> None:
    """No function, label, keyword, duration or string among them."""
    assert series(text) == names


@pytest.mark.parametrize("name", PROFILES)
def test_what_the_judges_profiles_ask_for_is_emitted(name: str) -> None:
    """The table of emitters and the judge's own selectors agree."""
    profile = PROFILES[name]
    texts = [profile.weight, *(text for query in profile.queries.values() for text in query.values() if "{" in text)]
    asked = {found for text in texts for found in series(_filled(text))}
    assert asked
    assert not [found for found in asked if not emitter(found)]


def _filled(text: str) -> str:
    """With the placeholders that stand between braces gone."""
    for word in ("arm", "namespace", "name", "workload"):
        text = text.replace(f"{{{word}}}", "")
    return text


@pytest.mark.parametrize(
    "name",
    ["coalmine_log_e", "bentoml_service_requests_total", "bentoml_service_request_duration_seconds", "flagger_x"],
)
def test_a_series_that_nobody_emits_has_no_emitter(name: str) -> None:
    """Near misses among them; a histogram's bare name is none of its series."""
    assert not emitter(name)
