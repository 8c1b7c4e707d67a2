"""One key signs the prediction ids of a whole cluster, and is never replaced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from coalmine.cluster.keys import KEY, hand_out
from coalmine.errors import Temporary
from coalmine.feedback.token import KEY_BYTES


@dataclass(slots=True)
class Held:
    """Secrets by namespace; one name is asked for."""

    kept: dict[str, dict[str, bytes]] = field(default_factory=dict)

    def secret(self, namespace: str, name: str) -> dict[str, bytes] | None:
        return self.kept.get(namespace) if name == "feedback-key" else None

    def make_secret(self, namespace: str, name: str, data: Mapping[str, bytes]) -> bool:
        made = name == "feedback-key" and namespace not in self.kept
        return made and self.kept.setdefault(namespace, dict(data)) is not None


def test_a_tenant_gets_the_platforms_key() -> None:
    """Pods sign by the key that the feedback service checks by, however often the Job runs."""
    cluster = Held()
    said = [
        hand_out(cluster, to="coalmine"),
        hand_out(cluster, to="a", of="coalmine"),
        hand_out(cluster, to="coalmine"),
    ]
    assert said == ["made", "copied", "is there"]
    assert cluster.kept["a"] == cluster.kept["coalmine"]
    assert len(cluster.kept["a"][KEY]) == KEY_BYTES


def test_a_tenant_waits_for_the_platform() -> None:
    """Without the platform's key none is made up: its votes would all be refused."""
    pauses: list[float] = []
    with pytest.raises(Temporary, match="no feedback-key in coalmine"):
        hand_out(Held(), to="a", of="coalmine", tries=3, sleep=pauses.append)
    assert len(pauses) == 3
