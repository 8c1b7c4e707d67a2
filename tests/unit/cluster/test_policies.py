"""The judge's pod has each Canary's policy as a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from coalmine.cluster.policies import write_all
from coalmine.judge.policy import load_policy

BASE = "version: 1\nalpha: 0.02\n"
ABOVE = "extends: ../policy.yaml\nprometheus: {profile: envoy-gateway}\n"


@dataclass(slots=True)
class Held:
    """A cluster that holds these ConfigMaps by namespace; each namespace has a Canary `model`."""

    maps: dict[str, Mapping[str, str] | None] = field(default_factory=dict)

    def canaries(self) -> list[tuple[str, str]]:
        return [(namespace, "model") for namespace in self.maps]

    def configmap(self, namespace: str, name: str) -> Mapping[str, str] | None:
        return self.maps[namespace] if name == "policy" else None


def test_the_clusters_layer_lies_over_the_base(tmp_path: Path) -> None:
    """What the judge reads is one text that says what both files say."""
    write_all(Held({"a": {"policy.yaml": BASE, "cluster.policy.yaml": ABOVE}}), tmp_path)
    policy = load_policy(tmp_path / "a.model.yaml")
    assert (policy.alpha, policy.prometheus.profile) == (0.02, "envoy-gateway")


def test_a_policy_that_cannot_be_read_for_now_stays(tmp_path: Path) -> None:
    """A right that is missing for a moment does not make a canary be judged by the defaults."""
    write_all(Held({"a": {"policy.yaml": BASE}}), tmp_path)
    write_all(Held({"a": None}), tmp_path)
    assert (tmp_path / "a.model.yaml").read_text() == BASE


def test_one_tenants_broken_policy_is_its_own(tmp_path: Path) -> None:
    """It is passed on as it is, for the judge to refuse; the others are written."""
    broken = "alhpa: 0.01\n"
    write_all(Held({"a": {"policy.yaml": broken}, "b": {"policy.yaml": BASE}, "c": {"other": ""}}), tmp_path)
    assert (tmp_path / "a.model.yaml").read_text() == broken
    assert (tmp_path / "b.model.yaml").read_text() == BASE
    assert not (tmp_path / "c.model.yaml").exists()


def test_a_canary_that_is_gone_takes_its_policy_along(tmp_path: Path) -> None:
    """Another tenant who takes the name later is not judged by it."""
    write_all(Held({"a": {"policy.yaml": BASE}}), tmp_path)
    write_all(Held(), tmp_path)
    assert list(tmp_path.iterdir()) == []
