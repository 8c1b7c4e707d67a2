"""The project's own Canary and the real judge understand each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from coalmine.judge import hooks, prometheus
from coalmine.judge.desk import Desk
from coalmine.judge.service import open_desk
from coalmine.records import Phase
from coalmine.rollout.canary import Canary, load_canary
from coalmine.rollout.hooks import payload
from coalmine.rollout.metrics import judge_value, read_value
from coalmine.rollout.state import Said

ROOT = Path(__file__).parents[3]


@pytest.fixture
def canary() -> Canary:
    files = {str(path.relative_to(ROOT)): path.read_text() for path in (ROOT / "flagger").rglob("*.yaml")}
    return load_canary(files, "sentiment")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    (tmp_path / "access.jsonl").touch()
    return open_desk(
        database=str(tmp_path / "judge.db"),
        access_log=tmp_path / "access.jsonl",
        feedback=tmp_path / "feedback.db",
        policies=None,
    )


def told(canary: Canary, phase: Phase) -> hooks.Payload:
    body: dict[str, Any] = payload(canary, phase, "abc", metadata={})
    return hooks.Payload.model_validate(body)


def test_each_hook_of_the_canary_is_one_that_the_judge_has(canary: Canary) -> None:
    used = {hook.type for hook in canary.manifest.spec.analysis.webhooks}
    assert used <= set(hooks.KINDS)
    assert {hook.url.rsplit("/", 1)[1] for hook in canary.manifest.spec.analysis.webhooks} == used


def test_the_backstop_names_a_series_that_the_judge_emits_once_a_canary_has_begun(canary: Canary, desk: Desk) -> None:
    status, _ = hooks.answer(desk, "pre-rollout", told(canary, Phase.PROGRESSING))
    assert status == 200
    metric = canary.metrics[0]
    status, body = prometheus.query(desk, canary.query(metric))
    value = read_value(body)
    assert status == 200
    assert value is not None
    assert judge_value(metric, value).said is Said.YES
