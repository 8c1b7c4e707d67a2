"""Each rule's bad example fires it alone, its good example fires none."""

from __future__ import annotations

import pytest
import yaml

from coalmine.lint import RULES, Finding, Rule, lint
from coalmine.lint.estate import File


def read(example: str) -> tuple[list[dict[str, object]], list[File]]:
    """Objects, and texts under `# file: <path>`."""
    head, *rest = ("\n" + example).split("\n# file: ")
    files = [File(part.partition("\n")[0].strip(), part.partition("\n")[2]) for part in rest]
    return [one for one in yaml.load_all(head, Loader=yaml.CSafeLoader) if one], files


def found(rule: Rule, example: str) -> list[Finding]:
    objects, files = read(example)
    return lint(objects, files=files, whole=rule.whole)


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.id)
def test_the_bad_example_fires_this_rule_alone(rule: Rule) -> None:
    """Once or more, and no other."""
    assert {finding.rule for finding in found(rule, rule.bad)} == {rule.id}, found(rule, rule.bad)


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.id)
def test_the_good_example_fires_none(rule: Rule) -> None:
    """Of all rules."""
    assert found(rule, rule.good) == []


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.id)
def test_a_rule_says_all_that_it_must(rule: Rule) -> None:
    """Title, reason, remedy and the source of its fact, under the id of its file's name."""
    assert rule.check.__module__.rpartition(".")[2].startswith(f"{rule.id.lower()}_")
    assert all((rule.title, rule.reason, rule.remedy, rule.source))
    assert rule.good != rule.bad
