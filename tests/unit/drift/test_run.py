"""Looks at a real lake: reference, alarm and labels by tenant, state between two looks, and what the command says."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import httpx
import polars as pl
import psutil
import pytest
from typer.testing import CliRunner

from coalmine.cli import app
from coalmine.drift import resources, run, store
from coalmine.drift.health import Health, lines
from coalmine.drift.watch import Plan, State
from coalmine.errors import Broken
from coalmine.feedback.lake import Lake
from coalmine.feedback.opening import open_lake
from coalmine.feedback.tables import COLUMNS, LABELS, PREDICTIONS
from coalmine.feedback.token import mint
from coalmine.judge.app import make_app
from coalmine.judge.service import open_desk
from coalmine.settings import Settings
from unit.drift.test_watch import CALM, LOUD

PLAN = Plan(window=20, reference=100, parts=199)
RELEASE = "m1-abcdef1"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "project").mkdir()
    return Settings(project=tmp_path / "project", state=tmp_path / "state", model="toy")


class Traffic:
    """Predictions and labels as a lake has them, in two frames that grow."""

    def __init__(self) -> None:
        self.rng = random.Random(4)
        self.asked: list[dict[str, object]] = []
        self.said: list[dict[str, object]] = []

    def answer(self, pool: tuple[str, ...], count: int, *, tenant: str = "default", right: float | None = None) -> None:
        """`right`: the share of right answers, of which people tell; None: nobody says anything."""
        for _ in range(count):
            row = {"id": mint(), "t": float(len(self.asked)), "tenant": tenant, "release": RELEASE}
            text = f"{self.rng.choice(pool)} {self.rng.choice(pool)}"
            self.asked.append({**row, "input": text, "label": self.rng.choice("ab"), "score": 0.5, "sketch": None})
            if right is None:
                continue
            good = self.rng.random() < right
            said = {"label": "a", "predicted": "a", "good": good, "labelled_at": float(len(self.said))}
            self.said.append({"prediction": row["id"], "t": row["t"], "tenant": tenant, "release": RELEASE, **said})

    @staticmethod
    def _frame(table: str, rows: list[dict[str, object]], tenant: str | None, release: str | None) -> pl.LazyFrame:
        kept = [row for row in rows if tenant in (None, row["tenant"]) and release in (None, row["release"])]
        return pl.DataFrame(kept, schema=dict(COLUMNS[table])).lazy()

    def predictions(self, *, tenant: str | None = None, release: str | None = None) -> pl.LazyFrame:
        return self._frame(PREDICTIONS, self.asked, tenant, release)

    def labels(self, *, tenant: str | None = None, release: str | None = None) -> pl.LazyFrame:
        return self._frame(LABELS, self.said, tenant, release)


def look(settings: Settings, traffic: Traffic, plan: Plan = PLAN) -> Health:
    return run.examine(settings, traffic, plan, now=1.0)


def test_no_reference_then_no_window_then_health_then_an_alarm(settings: Settings) -> None:
    """Each is a state of its own; what was looked at once is not looked at again."""
    traffic = Traffic()
    traffic.answer(CALM, 60)
    first = look(settings, traffic)
    assert (first.state, first.tenants[0].what) == (State.NO_DATA, "60 of the 100 rows of a reference")
    traffic.answer(CALM, 50)
    assert look(settings, traffic).state is State.NO_DATA
    traffic.answer(CALM, 40)
    calm = look(settings, traffic)
    assert calm.state is State.HEALTHY
    assert look(settings, traffic) == calm
    traffic.answer(LOUD, 100)
    loud = look(settings, traffic)
    assert loud.state is State.ALARM
    assert any("input.symbols" in line for line in lines(loud))


def test_fewer_right_answers_are_an_alarm_of_accuracy_alone(settings: Settings) -> None:
    traffic = Traffic()
    traffic.answer(CALM, 180, right=0.9)
    look(settings, traffic)
    traffic.answer(CALM, 120, right=0.2)
    found = {one.name: one.state for one in look(settings, traffic).tenants[0].signals}
    assert found.pop("accuracy.labels") is State.ALARM
    assert State.ALARM not in found.values()


def test_each_tenant_is_its_own(settings: Settings) -> None:
    """One's alarm is not the other's, and a third is only beginning."""
    traffic = Traffic()
    traffic.answer(CALM, 180, tenant="calm")
    traffic.answer(CALM, 100, tenant="loud")
    traffic.answer(LOUD, 80, tenant="loud")
    traffic.answer(CALM, 5, tenant="new")
    found = {one.name: one.state for one in look(settings, traffic).tenants}
    assert found == {"calm": State.HEALTHY, "loud": State.ALARM, "new": State.NO_DATA}


def test_a_repeated_label_counts_once(settings: Settings) -> None:
    """A correction moves `labelled_at`; nobody raises an alarm by saying the same thing again and again."""
    traffic = Traffic()
    traffic.answer(CALM, 180, right=1.0)
    look(settings, traffic)
    again = {**traffic.said[0], "good": False}
    traffic.said += [{**again, "labelled_at": 1000.0 + number} for number in range(100)]
    found = {one.name: one for one in look(settings, traffic).tenants[0].signals}
    assert found["accuracy.labels"].state is not State.ALARM


def test_a_new_release_has_a_new_reference(settings: Settings) -> None:
    traffic = Traffic()
    traffic.answer(CALM, 100)
    traffic.answer(LOUD, 100)
    assert look(settings, traffic).state is State.ALARM
    traffic.asked[100:] = [{**row, "release": "m2-abcdef1"} for row in traffic.asked[100:]]
    assert look(settings, traffic).tenants[0].what.startswith("no full window")


def test_a_damaged_state_is_told_and_never_health(settings: Settings) -> None:
    traffic = Traffic()
    traffic.answer(CALM, 150)
    look(settings, traffic)
    path = store.path_of(settings.state / "drift", "default")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(Broken, match="no state of drift"):
        look(settings, traffic)


def test_no_text_is_kept_in_the_state(settings: Settings) -> None:
    traffic = Traffic()
    traffic.answer(("a secret of mine",), 150)
    look(settings, traffic)
    kept = store.load(settings.state / "drift", "default")
    assert kept is not None
    assert "secret" not in repr(kept)


def test_an_empty_lake_is_no_data(settings: Settings) -> None:
    """The real one, before anything was served."""
    found = run.examine(settings, open_lake(settings), PLAN, now=1.0)
    assert (found.state, found.tenants) == (State.NO_DATA, ())


def test_the_real_lake_is_read(settings: Settings) -> None:
    """From the arms' own log: ingested, then looked at."""
    traffic = Traffic()
    traffic.answer(CALM, 100)
    traffic.answer(LOUD, 80)
    settings.predictions.mkdir(parents=True)
    log = [
        {
            "id": row["id"], "t": row["t"], "release": RELEASE, "model_version": 1, "features_digest": "d",
            "input": row["input"], "output": {"label": row["label"], "score": 0.5}, "latency_ms": 1.0,
        }
        for row in traffic.asked
    ]  # fmt: skip
    path = settings.predictions / f"{RELEASE}-1.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in log), encoding="utf-8")
    lake = Lake.open(settings)
    lake.ingest()
    found = run.examine(settings, lake, PLAN, now=1.0)
    assert found.state is State.ALARM
    assert {"prediction.label", "prediction.score"} <= {one.name for one in found.tenants[0].signals}


def test_the_judge_shows_the_last_look(settings: Settings, tmp_path: Path) -> None:
    """Its page links it, its metrics are beside; before the first look it says that there was none."""
    import asyncio  # noqa: PLC0415 - here alone

    folder = settings.state / "drift"
    judge = make_app(open_desk(database=str(tmp_path / "judge.db")), drift=folder)

    async def get(path: str) -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=judge), base_url="http://judge") as client:
            return await client.get(path)

    assert asyncio.run(get("/drift")).status_code == 404
    traffic = Traffic()
    traffic.answer(CALM, 150)
    look(settings, traffic)
    assert "Drift and health of toy" in asyncio.run(get("/drift")).text
    assert "coalmine_drift_tenant_state" in asyncio.run(get("/drift/metrics")).text
    assert 'href="drift"' in asyncio.run(get("/")).text


def command(settings: Settings, *words: object, code: str = "pass") -> subprocess.CompletedProcess[str]:
    start = f"import sys; {code}; from coalmine.cli import main; main()"
    line = [sys.executable, "-c", start, "--project", str(settings.project), "--state", str(settings.state)]
    return subprocess.run([*line, *map(str, words)], capture_output=True, text=True, timeout=115, check=False)


def test_the_command_says_alarm_health_and_no_data_by_its_exit_code(settings: Settings, tmp_path: Path) -> None:
    (settings.project / "coalmine.toml").write_text('model = "toy"\n')
    pools = {"calm": CALM, "more": CALM, "loud": LOUD}
    for number, (name, pool) in enumerate(pools.items()):
        rng = random.Random(number)
        text = "".join(f"{rng.choice(pool)} {rng.choice(pool)}\n" for _ in range(100))
        (tmp_path / f"{name}.txt").write_text(text, encoding="utf-8")
    words = ("drift", "--reference-texts", tmp_path / "calm.txt", "--window", 20, "--reference", 100, "--texts")
    (tmp_path / "few.txt").write_text("one\n")
    here = ("--project", settings.project, "--state", settings.state)
    said = {
        name: CliRunner().invoke(app, [str(word) for word in (*here, *words, tmp_path / f"{name}.txt")])
        for name in ("more", "loud", "few")
    }
    assert {name: one.exit_code for name, one in said.items()} == {"more": 0, "loud": 10, "few": 11}
    assert said["loud"].stdout.startswith("alarm: toy")


def test_without_a_package_it_is_missing_and_never_no_drift(settings: Settings) -> None:
    """The import fails as where it is not installed: exit 4, and what to type."""
    (settings.project / "coalmine.toml").write_text('model = "toy"\n')
    done = command(settings, "drift", code="sys.modules['deltalake'] = None")
    assert done.returncode == 4
    assert "pip install" in done.stderr


def test_a_changed_plan_begins_anew(settings: Settings) -> None:
    """Evidence of one window's size says nothing of another's."""
    traffic = Traffic()
    traffic.answer(CALM, 150)
    assert look(settings, traffic).tenants[0].reference == 100
    other = look(settings, traffic, replace(PLAN, reference=120))
    assert other.tenants[0].reference == 120


def test_processes_are_told_with_cpu_memory_and_restarts(settings: Settings) -> None:
    """By the records that `up` keeps; one whose pid is somebody else's by now is not ours."""
    folder = settings.state / "run"
    folder.mkdir(parents=True)
    own = psutil.Process()
    record = {"name": "judge", "pid": own.pid, "created": own.create_time(), "marks": {"restarts": "2"}}
    (folder / "judge.json").write_text(json.dumps(record))
    (folder / "gone.json").write_text(json.dumps({**record, "name": "gone", "created": 1.0}))
    (folder / "status.json").write_text("{}")
    (one,) = resources.processes(settings)
    assert (one.name, one.restarts) == ("judge", 2)
    assert one.cpu_seconds > 0
    assert one.resident_bytes > 10_000_000
