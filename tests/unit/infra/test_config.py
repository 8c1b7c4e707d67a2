"""A stack's file is refused as a whole, naming the key, before anything is made."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
import yaml

from coalmine.errors import BadInput
from coalmine.infra import config, facts, names, outline

FOLDER = Path(__file__).parents[3] / "infra"
STACKS = config.stacks(FOLDER)


def given(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FOLDER / f"Pulumi.{name}.yaml").read_text())["config"][config.KEY]
    return found


@pytest.mark.parametrize("name", STACKS)
def test_a_stack_that_ships_is_valid_short_and_without_a_secret(name: str) -> None:
    """At most 25 lines, no salt, no encrypted key; its folder in gitops/ is there."""
    text = (FOLDER / f"Pulumi.{name}.yaml").read_text()
    stack = config.load(FOLDER, name)
    assert len(text.splitlines()) <= 25
    assert "encryptionsalt" not in text
    assert "secure:" not in text
    assert (FOLDER.parent / stack.folder / "kustomization.yaml").is_file()


GPU = [{"name": "serving", "machine": "g2-standard-8", "max": 3}]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"regoin": "europe-west4"}, "regoin: unknown key"),
        ({"gpu": [{"name": "x", "machine": "g2-standard-8", "max": 1, "spott": True}]}, r"gpu\.0\.spott: unknown key"),
        ({"region": "mars-north1", "zones": ["a", "b", "c"]}, "region: 'mars-north1'"),
        ({"zones": ["europe-west4-a", "europe-west4-b"]}, "zones: 2 given, at least 3"),
        ({"zones": ["europe-west4-a", "europe-west4-b", "europe-west4-b"]}, "zones: 2 given"),
        (
            {"zones": ["europe-west4-a", "europe-west4-b", "us-central1-a"]},
            "zones: us-central1-a is not in europe-west4",
        ),
        ({"gpu": [{"name": "big", "machine": "a2-highgpu-1g", "max": 3}]}, r"gpu\.0\.machine: nvidia-tesla-a100"),
        ({"region": "europe-west1", "gpu": GPU}, r"gpu\.0\.machine: nvidia-l4 .* europe-west1-b"),
        (
            {"gpu": [{"name": "plain", "machine": "e2-standard-4", "max": 3}]},
            r"gpu\.0\.machine: e2-standard-4 has no GPU",
        ),
        ({"cpu": {"name": "cpu", "machine": "g2-standard-8", "max": 3}}, "belongs under gpu"),
        ({"system": {"name": "system", "machine": "e2-standard-4", "min": 1, "max": 3}}, r"system\.min: 1 nodes"),
        ({"gpu": [*GPU, *GPU]}, "gpu: serving is named twice"),
        ({"operators": ["0.0.0.0/0"]}, r"operators: 0\.0\.0\.0/0 is too wide"),
        ({"operators": ["10.0.0.1/8"]}, "operators: .*host bits"),
        ({"tenants": [{"name": "sentiment", "gpus": 1000}]}, "tenants: 1000 GPUs promised"),
        ({"project": ""}, "project: provider gke needs it"),
        ({"keep": False}, "keep: only provider existing"),
        ({"git": "https://me:token@git.example.com/x.git"}, "git: "),
        ({"provider": "aks"}, "provider: "),
        ({"gpu": [{"name": "x", "machine": "g2-standard-8"}]}, r"gpu\.0\.max: "),
        ({"gpu": [GPU[0] | {"mig": "1g.5gb", "time_slices": 2}]}, "mig: not together"),
        ({"gpu": [GPU[0] | {"mig": "1g.5gb"}], "tenants": []}, r"gpu\.0\.mig: nvidia-l4 .* has no MIG"),
    ],
)
def test_what_is_wrong_is_named_by_its_key(change: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said) as caught:
        config.read(given("production") | change, name="production", where="infra/Pulumi.production.yaml")
    assert "infra/Pulumi.production.yaml" in str(caught.value)
    assert "remedy" in str(caught.value)


def test_a_stack_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(BadInput, match="kind, production"):
        config.load(FOLDER, "prodution")


def test_zones_are_those_that_have_the_gpus() -> None:
    """us-central1 has four zones; L4 are in three of them."""
    made = config.read(given("production") | {"region": "us-central1"}, name="x1", where="here")
    assert made.zones == ("us-central1-a", "us-central1-b", "us-central1-c")


def test_every_machine_has_a_price_and_a_known_gpu() -> None:
    table = facts.prices()
    assert set(facts.machines()) <= set(table.hourly)
    offered = {gpu for provider in ("gke", "eks") for region in facts.regions(provider).values() for gpu in region.gpus}
    assert {machine.gpu for machine in facts.machines().values() if machine.gpu} <= offered
    assert all(price.page for price in [*table.hourly.values(), *table.gib_month.values()] if price.seen)


def test_an_estimate_adds_up_and_says_how_old_its_prices_are() -> None:
    """By hand: three system nodes at least; at most all pools; a spot node at its share."""
    found = outline.outline(config.load(FOLDER, "production"))
    table = facts.prices()
    by = {cost.what.split(":")[0]: cost for cost in found.costs}
    assert by["pool system"].least == pytest.approx(3 * 0.1340 * 730)
    assert by["pool training"].most == pytest.approx(3 * 2.0008 * 730 * table.spot_share)
    assert found.least == pytest.approx(sum(cost.least for cost in found.costs))
    said = "\n".join(outline.lines(found))
    assert table.date in said
    assert f"{found.unseen} of {len(found.costs)} were not looked up" in said


def test_the_guide_says_what_plan_prints_for_the_stacks_that_ship() -> None:
    """Of the month, idle and with each pool at its most."""
    guide = " ".join((FOLDER.parent / "docs" / "how-to" / "first-cluster.md").read_text(encoding="utf-8").split())
    one, other = (outline.outline(config.load(FOLDER, name)) for name in ("production", "production-eks"))
    idle, busy = ([f"{getattr(at, end):,.0f}" for at in (one, other)] for end in ("least", "most"))
    said = f"{idle[0]} and {idle[1]} dollars a month idle, and to {busy[0]} and {busy[1]} with"
    assert said in guide


def test_every_default_has_its_reason_where_it_is_set() -> None:
    """A comment on its line, or on the one above."""
    text = Path(config.__file__).read_text(encoding="utf-8")
    lines = ["", *text.splitlines()]
    classes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ClassDef)]
    fields = [field for one in classes for field in one.body if isinstance(field, ast.AnnAssign) and field.value]
    defaults = [one for one in fields if "Field(" not in lines[one.lineno] or "default=" in lines[one.lineno]]
    assert len(defaults) >= 25
    bare = [one for one in defaults if "#" not in lines[one.lineno] and "#" not in lines[one.lineno - 1][:6]]
    assert [lines[one.lineno] for one in bare] == []


@pytest.mark.parametrize("name", ["production", "production-eks"])
def test_a_shipped_stacks_price_was_read_somewhere_for_all_but_storage(name: str) -> None:
    """What dominates the bill is not from memory; what is, is said."""
    costs = outline.outline(config.load(FOLDER, name)).costs
    unseen = [cost.what for cost in costs if not cost.looked_up]
    assert all("GiB" in what for what in unseen), unseen
    assert sum(cost.most for cost in costs if cost.looked_up) > 0.95 * sum(cost.most for cost in costs)


def test_mig_on_amazon_is_refused_with_the_reason() -> None:
    gpu = [{"name": "big", "machine": "g5.xlarge", "max": 3, "mig": "1g.5gb"}]
    with pytest.raises(BadInput, match=r"gpu\.0\.mig: on eks it wants NVIDIA's GPU operator"):
        config.read(given("production-eks") | {"gpu": gpu, "tenants": []}, name="x1", where="here")


def test_two_long_names_stay_two_within_the_limit() -> None:
    one, other = (names.fit("a" * 60 + last, names.SERVICE_ACCOUNT) for last in "bc")
    assert one != other
    assert len(one) == len(other) == names.SERVICE_ACCOUNT
