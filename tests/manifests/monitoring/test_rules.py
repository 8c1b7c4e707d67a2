"""Prometheus' rules: Prometheus reads them, each asks for series that exist, and each alert was seen to fire."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from manifests.monitoring.estate import ADDED, HERE, ROOT, RULES, Rule, emitted, rule_files, rules
from manifests.monitoring.promql import selectors

PROMTOOL = HERE / "promtool"
ALL = rules()
SEVERITIES = {"page", "ticket", "info"}


def promtool(*words: object) -> subprocess.CompletedProcess[str]:
    program = shutil.which("promtool")
    assert program, "no promtool on this machine: apt-get install prometheus"
    return subprocess.run([program, *map(str, words)], capture_output=True, text=True, timeout=60, check=False)


def test_prometheus_reads_the_rules() -> None:
    """promtool, with its own lint for names given twice."""
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", *rule_files())
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", [path.name for path in rule_files()])
def test_rules_do_what_their_examples_say(file: str) -> None:
    """promtool evaluates each file over made series; alerts fire for their cause and rest otherwise."""
    done = promtool("test", "rules", PROMTOOL / file)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_example_that_is_wrong_is_noticed(tmp_path: Path) -> None:
    """The check above can fail."""
    text = (PROMTOOL / "targets.yaml").read_text(encoding="utf-8")
    wrong = tmp_path / "targets.yaml"
    wrong.write_text(
        text.replace("eval_time: 4m", "eval_time: 8m").replace("../../../../gitops", str(ROOT / "gitops")),
        encoding="utf-8",
    )
    assert promtool("test", "rules", wrong).returncode == 1


@pytest.mark.parametrize("rule", [one for one in ALL if one.alert], ids=lambda rule: rule.name)
def test_each_alert_was_seen_to_fire_and_to_rest(rule: Rule) -> None:
    """Examples of both are among those of its file."""
    tests = yaml.safe_load((PROMTOOL / rule.file).read_text(encoding="utf-8"))["tests"]
    cases = [case for test in tests for case in test.get("alert_rule_test", ()) if case["alertname"] == rule.name]
    assert any(case["exp_alerts"] for case in cases), "never seen to fire"
    assert any(not case["exp_alerts"] for case in cases), "never seen to rest"


@pytest.mark.parametrize("rule", [one for one in ALL if not one.alert], ids=lambda rule: rule.name)
def test_each_recorded_series_is_used(rule: Rule) -> None:
    """By an alert, another rule or a dashboard."""
    text = "".join(path.read_text(encoding="utf-8") for path in (*rule_files(), *RULES.parent.rglob("*.json")))
    uses = re.findall(rf"{re.escape(rule.name)}(?![\w:])", text)
    assert len(uses) > 1, f"nothing reads {rule.name}"


@pytest.mark.parametrize("rule", ALL, ids=lambda rule: rule.name)
def test_each_rule_asks_for_series_that_are_emitted(rule: Rule) -> None:
    """Or recorded by another rule; and by labels that they bear."""
    known, recorded = emitted(), {one.name for one in ALL if not one.alert}
    asked = list(selectors(rule.expr))
    assert asked
    for one in asked:
        assert one.name in known or one.name in recorded, f"nothing emits {one.name}"
        if one.name in known:
            assert one.labels <= known[one.name] | ADDED, f"{one.name} has no {set(one.labels - known[one.name])}"


@pytest.mark.parametrize("rule", [one for one in ALL if one.alert], ids=lambda rule: rule.name)
def test_each_alert_says_how_urgent_it_is_and_what_to_do(rule: Rule) -> None:
    """Severity, a summary, and a heading of the guide."""
    assert rule.labels["severity"] in SEVERITIES
    assert rule.annotations["summary"]
    page, _, heading = rule.annotations["runbook"].partition("#")
    assert heading == rule.name.lower()
    assert f"### {rule.name}\n" in (ROOT / page).read_text(encoding="utf-8")


def test_the_config_map_holds_every_rule_file() -> None:
    """A file that the kustomization forgets is never read."""
    made = yaml.safe_load((RULES / "kustomization.yaml").read_text(encoding="utf-8"))
    assert made["configMapGenerator"][0]["files"] == [path.name for path in rule_files()]


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("sum by (job) (rate(up[5m]))", ["up"]),
        ('a_total{le="0.1",x!~"b{c}"} / on (le) group_left (y) (b > 0.5e3)', ["a_total", "b"]),
        ("a unless a offset 15m == 2", ["a", "a"]),
        ('label_replace(x, "d", "$1", "s", "(.+)") or vector(1)', ["x"]),
        ("coalmine:x:rate5m * 0 + Inf", ["coalmine:x:rate5m"]),
    ],
)
def test_the_series_of_a_query_are_found(query: str, named: list[str]) -> None:
    """Functions, groupings, durations and strings are none."""
    assert [one.name for one in selectors(query)] == named
