"""The Canary file: what is wrong with it is said with file, line, field and remedy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coalmine.errors import BadInput
from coalmine.rollout.canary import Canary, load_canary
from coalmine.rollout.durations import seconds

BASE = """\
apiVersion: flagger.app/v1beta1
kind: Canary
metadata:
  name: m
  namespace: m
spec:
  provider: gatewayapi:v1
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: m}
  service:
    port: 8443
  analysis:
    interval: 10s
    threshold: 5
    stepWeights: [5, 10, 50]
    metrics:
      - name: gross
        templateRef: {name: gross}
        thresholdRange: {max: 0.5}
    webhooks:
      - name: judge
        type: rollback
        url: http://judge.coalmine:8090/hooks/rollback
"""
TEMPLATE = """\
apiVersion: flagger.app/v1beta1
kind: MetricTemplate
metadata: {name: gross, namespace: m}
spec:
  provider: {type: prometheus, address: "http://judge.coalmine:8090"}
  query: share{name="{{ target }}"}
"""
FILES = {
    "flagger/m/kustomization.yaml": "resources: [canary.yaml, metrictemplates.yaml]\n",
    "flagger/m/canary.yaml": BASE,
    "flagger/m/metrictemplates.yaml": TEMPLATE,
    "flagger/m/local/kustomization.yaml": "resources: [../]\npatches: [{path: canary.yaml}]\n",
    "flagger/m/local/canary.yaml": (
        "kind: Canary\nmetadata: {name: m}\nspec:\n  analysis:\n    interval: 1s\n    stepWeights: [20, 50]\n"
    ),
}


def refused(files: dict[str, str], *, overlay: str = "local") -> str:
    with pytest.raises(BadInput) as caught:
        load_canary(files, "m", overlay=overlay)
    assert caught.value.remedy
    return str(caught.value)


def test_an_overlay_is_a_merge_patch_that_replaces_lists() -> None:
    base, local = load_canary(FILES, "m", overlay=""), load_canary(FILES, "m")
    assert (base.interval_seconds, base.max_weight, base.next_weight(5)) == (10, 50, 10)
    assert (local.interval_seconds, local.next_weight(0), local.threshold) == (1, 20, 5)
    assert len(local.hooks("rollback")) == 1


def test_a_canary_reads_back_from_its_own_json() -> None:
    canary = load_canary(FILES, "m")
    assert Canary.model_validate_json(canary.model_dump_json(by_alias=True)) == canary


WRONG = {
    "an unknown field": ("  service:", "  servise: {}\n  service:", ":9", "spec.servise: is no field of Flagger's"),
    "an unknown field deep down": (
        "        type: roll",
        "        typo: 1\n        type: roll",
        ":21",
        "webhooks.0.typo",
    ),
    "a hook of an unknown type": ("type: rollback", "type: roll", ":21", "spec.analysis.webhooks.0.type"),
    "a hook without an address": ("url: http://judge", "url: judge", ":22", "spec.analysis.webhooks.0.url"),
    "a missing field": ("    threshold: 5\n", "", ":11", "spec.analysis.threshold: Field required"),
    "no steps": ("    stepWeights: [5, 10, 50]\n", "", ":11", "would never get traffic"),
    "both kinds of step": ("    threshold: 5", "    threshold: 5\n    stepWeight: 5", ":14", "stepWeight wins"),
    "steps that go down": ("[5, 10, 50]", "[5, 50, 10]", ":14", "does not grow"),
    "a step above 100": ("[5, 10, 50]", "[5, 101]", ":14", "spec.analysis.stepWeights.1"),
    "a limit that Flagger would not read": (
        "    threshold: 5",
        "    threshold: 5\n    maxWeight: 30",
        ":14",
        "goes to 50, not 30",
    ),
    "steps over the limit": ("stepWeights: [5, 10, 50]", "stepWeight: 20\n    maxWeight: 50", ":15", "go to 60"),
    "mirror": ("    threshold: 5", "    threshold: 5\n    mirror: true", ":14", "never advances"),
    "iterations": ("    threshold: 5", "    threshold: 5\n    iterations: 9", ":14", "blue/green"),
    "another provider": ("gatewayapi:v1", "istio", ":7", "instead of gatewayapi:v1"),
    "the flag that falls back to istio": ("gatewayapi:v1", "gatewayapi", ":7", "falls back to istio"),
    "no duration": ("interval: 10s", "interval: ten", ":12", "spec.analysis.interval"),
    "less than a second": ("interval: 10s", "interval: 0s", ":12", "below one second"),
    "a builtin metric": ("        templateRef: {name: gross}\n", "", ":16", "builtin metrics do not match"),
    "a metric that names nothing": (
        "templateRef: {name: gross}",
        "templateRef: {name: net}",
        ":17",
        "no MetricTemplate net",
    ),
    "a metric without a range": ("        thresholdRange: {max: 0.5}\n", "", ":16", "neither thresholdRange"),
    "a key written twice": (
        "    threshold: 5",
        "    threshold: 5\n    threshold: 6",
        ":14",
        "threshold is written twice",
    ),
    "broken YAML": ("    threshold: 5", "    threshold: [5", ":14", "expected ',' or ']'"),
    "no mapping": (BASE, "- a\n", ":1", "a manifest is a mapping"),
    "another kind": ("kind: Canary", "kind: Deployment", "flagger/m", "0 Canary manifests"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_canary_is_refused_with_its_line_and_field(name: str) -> None:
    old, new, line, what = WRONG[name]
    assert old in BASE
    message = refused(FILES | {"flagger/m/canary.yaml": BASE.replace(old, new, 1)}, overlay="")
    assert what in message
    assert message.startswith("flagger/m/canary.yaml" + line if line.startswith(":") else line)


def test_an_error_in_the_overlay_names_the_overlay() -> None:
    patch = FILES["flagger/m/local/canary.yaml"] + "    maxWait: 3\n"
    assert refused(FILES | {"flagger/m/local/canary.yaml": patch}).startswith("flagger/m/local/canary.yaml:7: ")


def test_null_in_an_overlay_takes_a_field_out() -> None:
    patch = FILES["flagger/m/local/canary.yaml"].replace(
        "stepWeights: [20, 50]", "stepWeights: null\n    stepWeight: 5"
    )
    local = load_canary(FILES | {"flagger/m/local/canary.yaml": patch}, "m")
    assert (local.max_weight, local.next_weight(95), local.next_weight(10)) == (100, 100, 15)


KUSTOMIZE = {
    "another key of kustomize": ("patches:", "namePrefix: x\npatches:", "namePrefix is not supported"),
    "a patch with a target": (
        "{path: canary.yaml}",
        "{path: canary.yaml, target: {kind: Canary}}",
        "a patch has `path`",
    ),
    "a file that is not there": ("canary.yaml", "canari.yaml", "flagger/m/local/canari.yaml does not exist"),
    "a folder that is not there": ("[../]", "[../../n]", "flagger/n does not exist"),
    "itself": ("[../]", "[./]", "lead back to this folder"),
    "no list": ("resources: [../]", "resources: ../", "resources is a list of paths"),
}


@pytest.mark.parametrize("name", KUSTOMIZE)
def test_what_kustomize_could_do_and_this_cannot_is_refused_with_a_sentence(name: str) -> None:
    old, new, what = KUSTOMIZE[name]
    head = "flagger/m/local/kustomization.yaml"
    assert what in refused(FILES | {head: FILES[head].replace(old, new)})


def test_a_patch_that_matches_nothing_is_refused() -> None:
    patch = FILES["flagger/m/local/canary.yaml"].replace("name: m", "name: n")
    assert "no resource Canary named n to patch" in refused(FILES | {"flagger/m/local/canary.yaml": patch})


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("type: prometheus", "type: datadog", "spec.provider.type"),
        ("{{ target }}", "{{ tarket }}", "uses {{ tarket }}, which is not known"),
        ("type: prometheus,", "type: prometheus, secretRef: {name: s},", "secretRef"),
    ],
)
def test_a_metric_template_that_cannot_be_asked_here_is_refused(old: str, new: str, what: str) -> None:
    assert what in refused(FILES | {"flagger/m/metrictemplates.yaml": TEMPLATE.replace(old, new)})


def test_a_query_is_filled_in_as_flagger_does(make_canary: Callable[..., Any]) -> None:
    canary = make_canary(
        metrics=[{"name": "g", "interval": "30s", "templateRef": {"name": "gross"}, "thresholdRange": {"max": 1}}]
    )
    assert canary.query(canary.metrics[0]) == 'share{namespace="m", name="m", window="30s"}'


def test_the_projects_own_files_are_good_and_short() -> None:
    root = Path(__file__).parents[3]
    files = {str(path.relative_to(root)): path.read_text() for path in (root / "flagger").rglob("*.yaml")}
    for overlay in ("", "local"):
        canary = load_canary(files, "sentiment", overlay=overlay)
        assert canary.namespace == "sentiment"
        assert canary.max_weight <= 50
        assert all(hook.mute_alert for hook in canary.hooks("confirm-traffic-increase"))
        assert canary.hooks("rollout") == ()  # each "not yet" there would be a failed check
    assert max(len(text.splitlines()) for text in files.values()) <= 50


@pytest.mark.parametrize(
    ("text", "value"), [("10s", 10), ("1m30s", 90), ("500ms", 0.5), ("1.5h", 5400), (".5m", 30), ("1h2m3s", 3723)]
)
def test_durations_read_as_go_reads_them(text: str, value: float) -> None:
    assert seconds(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "10", "s", "10 s", "-1s", "1d", "1m 30s"])
def test_what_go_would_not_read_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        seconds(text)
