"""The lake by its commands, from start to end on a state folder whose services have worked: as a person types them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from coalmine.cli import main
from coalmine.records import Kind
from coalmine.settings import Settings
from unit.feedback.filled import a_prediction, an_event, log, say


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command printed, and its exit code."""

    code: int
    result: Any


Command = Callable[..., Answer]


@pytest.fixture
def here(tmp_path: Path) -> Settings:
    """Five predictions; two people spoke of three of them."""
    (tmp_path / "bentos" / "m").mkdir(parents=True)
    (tmp_path / "bentos" / "m" / "service.py").touch()
    made = Settings(project=tmp_path, state=tmp_path / "state", model="m")
    rows = [a_prediction(f"text {number}") for number in range(5)]
    log(made, rows)
    said = [
        an_event(rows[0], 1, Kind.THUMB, 1.0, user="quillfeather"),
        an_event(rows[1], 1, Kind.RATING, 2.0, user="quillfeather"),
    ]
    say(made, [*said, an_event(rows[2], 1, Kind.CORRECTION, None, "negative", user="bob")])
    return made


@pytest.fixture
def command(here: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """`coalmine --json ...` from its entry point on, so that errors become what a shell sees."""

    def call(*words: object, state: Path = here.state) -> Answer:
        line = ["coalmine", "--json", "--project", str(here.project), "--state", str(state), *map(str, words)]
        monkeypatch.setattr(sys, "argv", line)
        with pytest.raises(SystemExit) as ended:
            main()
        return Answer(int(ended.value.code or 0), json.loads(capsys.readouterr().out))

    return call


def test_from_the_services_files_to_rows_that_a_snapshot_gives_again(command: Command, tmp_path: Path) -> None:
    """Ingest, check, snapshot, compact, and the snapshot's rows after that; a second ingest adds nothing."""
    assert command("lake", "ingest").result == {"predictions": 5, "feedback": 3, "labels": 3}
    assert command("lake", "ingest").result == {"predictions": 0, "feedback": 0, "labels": 0}
    taken = command("lake", "snapshot", "--table", "labels").result
    assert (taken["rows"], taken["query"]["table"]) == (3, "labels")
    assert {one["table"] for one in command("lake", "compact").result} >= {"predictions", "feedback", "labels"}
    checked = command("lake", "check")
    assert (checked.code, [one["what"] for one in checked.result if not one["ok"]]) == (0, [])
    out = tmp_path / "rows.parquet"
    assert command("lake", "rows", taken["digest"][:12], out).result == {"rows": 3, "file": str(out)}
    rows = {row["input"]: row["label"] for row in pl.read_parquet(out).iter_rows(named=True)}
    assert rows == {"text 0": "positive", "text 1": None, "text 2": "negative"}
    assert command("lake", "rows", "ffff", out).code == 2


def test_what_is_exported_can_be_imported_once(command: Command, tmp_path: Path) -> None:
    """Into another lake, and again into the same: events are known by their ids."""
    command("lake", "ingest")
    file = tmp_path / "feedback.jsonl"
    assert command("feedback", "export", file).result == {"rows": 3, "file": str(file)}
    assert command("feedback", "import", file).result == {"lines": 3, "added": 0, "labels": 0}
    other = tmp_path / "other"
    # Their predictions are not there: no label is made up for them.
    assert command("feedback", "import", file, state=other).result == {"lines": 3, "added": 3, "labels": 0}
    again = tmp_path / "again.jsonl"
    command("feedback", "export", again, state=other)
    assert sorted(again.read_text().splitlines()) == sorted(file.read_text().splitlines())
    file.write_text('{"what": 1}\n')
    assert command("feedback", "import", file).code == 2


def test_an_erased_person_is_in_no_file_and_the_snapshot_says_so(
    command: Command, here: Settings, tmp_path: Path
) -> None:
    """Rows, older versions, logs and votes; what was made of them cannot be rebuilt, and that is an answer."""
    command("lake", "ingest")
    taken = command("lake", "snapshot").result
    gone = command("lake", "erase", "--user", "quillfeather").result
    assert (gone["predictions"], gone["events"], gone["lines"]) == (2, 2, 2)
    assert gone["snapshots"] == [taken["digest"]]
    lost = command("lake", "rows", taken["digest"], tmp_path / "rows.parquet")
    assert (lost.code, "at a person's request" in lost.result["error"]) == (3, True)
    assert command("lake", "check").code == 0
    for path in here.state.rglob("*"):
        if path.is_file():
            assert b"quillfeather" not in path.read_bytes(), path
    assert command("lake", "snapshot").result["rows"] == 1
