"""What `lint` promises whoever calls it from Python."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from coalmine.lint import RULES, Finding, Rule, lint
from coalmine.lint.estate import File
from coalmine.lint.examples import CANARY, DEPLOYMENT, SERVICE, TEMPLATE, together
from coalmine.lint.rule import swapped
from unit.lint.test_rules import read


def parsed(*texts: str) -> list[dict[str, Any]]:
    """Objects of a stream."""
    return list(yaml.safe_load_all(together(*texts)))


def ids(found: list[Finding]) -> list[str]:
    return [finding.rule for finding in found]


def test_a_finding_names_object_and_field() -> None:
    """With reason and remedy, for whoever shows it."""
    [found] = lint(parsed(swapped(CANARY, "gatewayapi:v1", "gatewayapi")))
    assert (found.object, found.field) == ("Canary sentiment/sentiment", "spec.provider")
    assert found.reason
    assert found.remedy == "Write `provider: gatewayapi:v1`."


def test_nothing_and_what_is_no_object_are_no_findings() -> None:
    """Empty documents come with every stream."""
    assert lint([]) == []
    assert lint([{}, {"kind": "Unheard"}, {"apiVersion": "v1", "kind": "List", "items": []}]) == []


def test_a_part_of_a_cluster_is_not_blamed_for_what_lies_elsewhere() -> None:
    """A Canary alone names a target, a template, a Gateway and Services that others bring."""
    assert lint(parsed(CANARY)) == []


def test_the_same_part_given_as_the_whole_is() -> None:
    """Nothing else runs then."""
    assert set(ids(lint(parsed(CANARY), whole=True))) >= {"CM108", "CM121", "CM207"}


def test_one_of_its_kind_in_the_namespace_says_that_the_others_would_be_here() -> None:
    """A Service in `coalmine` makes a webhook to another one there a finding."""
    hooked = CANARY + '    webhooks: [{name: notes, type: event, url: "http://notes.coalmine/", timeout: 5s}]\n'
    assert lint(parsed(hooked)) == []
    assert ids(lint(parsed(hooked, SERVICE))) == ["CM201"]


def test_flaggers_own_objects_count_as_there() -> None:
    """What selects the primary selects something, and its Services can be asked."""
    budget = """\
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: sentiment, namespace: sentiment}
spec: {maxUnavailable: 1, selector: {matchLabels: {app: sentiment-primary}}}
"""
    assert lint(parsed(CANARY, DEPLOYMENT, TEMPLATE, budget)) == []


def test_what_is_silenced_with_a_reason_is_silent_there_alone() -> None:
    """The same trap in another object is still told."""
    loud = swapped(CANARY, "gatewayapi:v1", "gatewayapi")
    note = 'annotations: {coalmine.dev/lint-ignore: "CM103 because of a try"}'
    silent = swapped(loud, "metadata: {name: sentiment, ", f"metadata: {{name: quiet, {note}, ")
    found = lint(parsed(silent, loud))
    assert [(one.rule, one.name) for one in found] == [("CM103", "sentiment")]


@pytest.mark.parametrize("note", ["CM103", "CM103 because", "CM103 because no", "all of it", "CM999 because of a try"])
def test_silence_without_a_rule_and_a_reason_is_none(note: str) -> None:
    """It is a finding itself, and the trap is told as well."""
    data = parsed(swapped(CANARY, "gatewayapi:v1", "gatewayapi"))
    data[0]["metadata"]["annotations"] = {"coalmine.dev/lint-ignore": note}
    assert ids(lint(data)) == ["CM001", "CM103"]


def test_a_file_is_silenced_by_a_comment() -> None:
    """In any language's comment."""
    text = "permissions: {contents: read}\nsteps:\n  - uses: actions/checkout@v5"
    loud = File(".github/workflows/ci.yml", text)
    quiet = File(".github/workflows/ci.yml", f"{text} # coalmine-lint: ignore CM901 because it is a mirror of ours")
    assert ids(lint([], files=[loud])) == ["CM901"]
    assert lint([], files=[quiet]) == []


def places(tree: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every field of a tree."""
    if path:
        yield path
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in inner:
        yield from places(value, (*path, key))


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.id)
def test_no_shape_of_a_field_is_a_crash(rule: Rule) -> None:
    """Any field of an example may hold whatever YAML can hold: each rule passes over what it does not understand."""
    objects, files = read(rule.bad)
    dice = random.Random(rule.id)
    fields = [(index, path) for index, one in enumerate(objects) for path in places(one)]
    for index, path in dice.sample(fields, min(40, len(fields))):
        whole = copy.deepcopy(objects)
        inside: Any = whole[index]
        for part in path[:-1]:
            inside = inside[part]
        inside[path[-1]] = dice.choice([None, 7, "x", [], {}, [None], {"a": None}, [{}], True])
        lint(whole, files=files, whole=rule.whole)
