"""A policy is data: an empty one is good, a wrong one names line and field."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema_rs
import pytest
import yaml

from coalmine.errors import BadInput
from coalmine.judge.policy import Role, links, load_policy, read_policy, schema

ROOT = Path(__file__).parents[3]


def test_an_empty_policy_judges_errors_latency_and_feedback() -> None:
    policy = load_policy("")
    assert list(policy.metrics) == ["errors", "latency", "feedback"]
    assert sum(policy.weights().values()) == pytest.approx(1.0)
    assert policy == load_policy("version: 1")


def test_what_is_given_overrides_in_part() -> None:
    policy = load_policy("metrics:\n  feedback: {role: guardrail, odds_ratio_promote: 1.5}\nalpha: 0.001\n")
    assert policy.metrics["feedback"].role is Role.GUARDRAIL
    assert policy.metrics["errors"] == load_policy("").metrics["errors"]


def test_two_metrics_of_one_kind_may_differ() -> None:
    policy = load_policy("metrics:\n  slow_tail: {kind: latency, edge_seconds: 1.0, share: 0.01}\n")
    assert policy.metrics["slow_tail"].kind == "latency"


@pytest.mark.parametrize(
    ("text", "where", "says"),
    [
        ("alpha: 0.01\nbeta: 2\n", "policy:2", "beta"),
        ("metrics:\n  errors:\n    weigth: 3\n", "policy:3", "metrics.errors.weigth"),
        ("metrics:\n  latency:\n    role: guard\n", "policy:3", "metrics.latency.role"),
        ("metrics:\n  speed: {}\n", "policy:2", "metrics.speed"),
        ("bake:\n  second: 3\n", "policy:2", "bake.second"),
        ("a: [\n", "policy:2", ""),
        ("- 1\n", "policy:1", "the whole"),
        ("version: 2\n", "policy:1", "version"),
        ("metrics:\n  feedback: {against: tolerated}\n", "policy:2", "tolerated_rate"),
        ("metrics: {errors: {role: observe}, latency: {role: observe}}", "policy:1", "guardrail"),
        ("minimum_seconds: 10\nmaximum_seconds: 5\n", "policy:1", "maximum_seconds"),
    ],
)
def test_a_mistake_is_named_with_line_and_field(text: str, where: str, says: str) -> None:
    with pytest.raises(BadInput) as caught:
        load_policy(text)
    assert caught.value.where == where
    assert says in caught.value.what


def test_a_missing_file_is_a_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="nowhere"):
        load_policy(tmp_path / "nowhere.yaml")


def test_the_schema_is_json_and_knows_the_fields() -> None:
    text = json.dumps(schema())
    assert "edge_seconds" in text
    assert "on_inconclusive" in text


def test_a_policy_can_be_shared_and_overridden_in_part(tmp_path: Path) -> None:
    """The text that is kept reads as the same policy without the files."""
    (tmp_path / "shared.yaml").write_text(
        "alpha: 0.001\nmetrics:\n  tokens: {kind: counts, weight: 3}\n  latency: {share: 0.2}\n"
    )
    mine = tmp_path / "mine.yaml"
    mine.write_text("extends: shared.yaml\nmetrics:\n  tokens: {weight: 5}\n  feedback: null\n")
    text, policy = read_policy(mine)
    assert (policy.alpha, policy.metrics["tokens"].weight, policy.metrics["tokens"].kind) == (0.001, 5.0, "counts")
    assert "feedback" not in policy.metrics
    assert load_policy(text) == policy


@pytest.mark.parametrize(
    ("mine", "where", "says"),
    [
        ("extends: mine.yaml\n", "mine.yaml", "extends itself"),
        ("extends: [a]\n", "mine.yaml", "extends"),
        ("extends: gone.yaml\n", "gone.yaml", "gone"),
        ("extends: shared.yaml\nmetrics:\n  errors: {weigth: 1}\n", "mine.yaml:3", "metrics.errors.weigth"),
        ("extends: shared.yaml\nbeta: 7\n", "mine.yaml:2", "beta"),
    ],
)
def test_a_mistake_in_an_overlay_is_told_by_the_overlays_own_line(
    tmp_path: Path, mine: str, where: str, says: str
) -> None:
    (tmp_path / "shared.yaml").write_text("alpha: 0.02\n")
    (tmp_path / "mine.yaml").write_text(mine)
    with pytest.raises(BadInput) as caught:
        load_policy(tmp_path / "mine.yaml")
    assert str(caught.value.where).endswith(where)
    assert says in f"{caught.value.what} {caught.value}"


def test_null_takes_a_metric_away() -> None:
    assert list(load_policy("metrics: {latency: null, feedback: null}").metrics) == ["errors"]


SCHEMA = ROOT / "docs" / "reference" / "policy.schema.json"


def test_the_published_schema_is_what_the_program_prints() -> None:
    """Else: `coalmine judge schema > docs/reference/policy.schema.json`."""
    assert json.loads(SCHEMA.read_text()) == schema()


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ((ROOT / "flagger" / "sentiment" / "policy.yaml").read_text(), True),
        ("extends: ../shared/policy.yaml\nmetrics: {errors: {weight: 4}, latency: null}", True),
        ("metrics: {answers: {kind: mix, classes: [yes, no]}}", False),  # YAML reads these as true and false
        ("metrics: {answers: {kind: mix, classes: [a, b]}}", True),
        ("metrics: {errors: {weigth: 4}}", False),
        ("alpha: 2", False),
        ("links: {commit: 'https://git.example.org/{sha}'}", True),
        ("links: {commit: 'javascript:alert(1)'}", False),
        ("unknown: 1", False),
    ],
)
def test_an_editor_is_told_what_the_judge_would_say(text: str, valid: bool) -> None:  # noqa: FBT001 - a table
    assert jsonschema_rs.is_valid(schema(), yaml.safe_load(text)) is valid


@pytest.mark.parametrize(
    ("address", "href"),
    [
        ("https://git.example.org/commit/{sha}", "https://git.example.org/commit/abcdef0"),
        ("http://mlflow/#/models/{name}/versions/{version}", "http://mlflow/#/models/a%2Fb%20c/versions/2"),
        ("https://example.org/{primary}", None),  # not known
        ("https://example.org/about", "https://example.org/about"),
    ],
)
def test_a_link_is_filled_in_or_left_out(address: str, href: str | None) -> None:
    """What stands in a place cannot leave it."""
    policy = load_policy(f"links: {{there: '{address}'}}")
    found = links.fill(policy.links, {"name": "a/b c", "release": "m2-abcdef0", "primary": ""})
    assert [link["href"] for link in found] == ([href] if href else [])
    assert links.fill({"there": "https://example.org/{sha}"}, {"release": "v2"}) == [], "no id of ours: no commit known"


@pytest.mark.parametrize("place", ["{nothing}", "{release.__class__}", "{release!r}", "{release:>9}", "{}", "{"])
def test_a_place_that_no_link_has_is_refused_with_its_line(place: str) -> None:
    with pytest.raises(BadInput, match=r"links\.there") as caught:
        load_policy(f"alpha: 0.01\nlinks:\n  there: 'https://example.org/{place}'")
    assert str(caught.value.where).endswith(":3")
