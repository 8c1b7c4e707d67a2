from __future__ import annotations

import hashlib
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
from polars.testing import assert_frame_equal

from coalmine.feedback import ingest
from coalmine.feedback.capture import Prediction, PredictionLog
from coalmine.feedback.tables import PREDICTIONS, frame
from coalmine.records import ReleaseId

RELEASE = ReleaseId(2, "abcdef1")


def a_prediction(number: int) -> Prediction:
    text = f"text {number}"
    digest = hashlib.sha256(text.encode()).hexdigest()
    output = {"label": "positive", "score": 0.75}
    return Prediction(str(number), 1.5, str(RELEASE), 2, digest, text, output, 3.25)


def read(folder: Path) -> pl.DataFrame:
    """The logs as the lake takes them."""
    return ingest.predictions(folder)({})[0]


def ids(folder: Path) -> list[str]:
    return read(folder)["id"].to_list()


def test_what_is_put_is_read_back_whole(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, RELEASE)
    rows = [a_prediction(number) for number in range(500)]
    for row in rows:
        log.put(row)
    log.close()
    assert_frame_equal(read(tmp_path), frame(PREDICTIONS, [ingest.prediction_row(row) for row in rows]))
    assert log.path.name == f"{RELEASE}-{os.getpid()}.jsonl"
    assert log.dropped == 0


def test_rows_get_to_disk_without_a_close(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, RELEASE)
    log.put(a_prediction(1))
    end = time.monotonic() + 30
    while not ids(tmp_path) and time.monotonic() < end:
        time.sleep(0.02)
    assert ids(tmp_path) == ["1"]
    log.close()


def test_a_full_buffer_drops_and_counts(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, RELEASE, buffer=0)
    log.put(a_prediction(1))
    log.close()
    assert log.dropped == 1
    assert ids(tmp_path) == []


def test_texts_are_left_out_where_the_policy_says_so(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, RELEASE, keep_input=False)
    log.put(a_prediction(1))
    log.close()
    kept = read(tmp_path)
    assert kept["input"].to_list() == [None]
    assert kept["features_digest"].to_list() == [a_prediction(1).features_digest]


def test_a_half_line_of_a_crash_costs_that_line_only(tmp_path: Path) -> None:
    """Also when the next process has the same pid and appends to the file."""
    log = PredictionLog(tmp_path, RELEASE)
    log.put(a_prediction(1))
    log.put(a_prediction(2))
    log.close()
    whole = log.path.read_bytes()
    log.path.write_bytes(whole[:-20])
    assert ids(tmp_path) == ["1"]
    again = PredictionLog(tmp_path, RELEASE)
    again.put(a_prediction(3))
    again.close()
    assert ids(tmp_path) == ["1", "3"]


def test_no_folder_is_no_predictions(tmp_path: Path) -> None:
    assert ids(tmp_path / "none") == []


def test_an_answer_with_numpys_numbers_is_logged_and_one_beyond_json_costs_itself_alone(tmp_path: Path) -> None:
    """A model of a user's own may answer with anything; the log goes on."""
    log = PredictionLog(tmp_path, RELEASE)
    answers: list[dict[str, object]] = [{"score": np.float32(0.5), "ranks": np.arange(3)}, {"score": object()}, {}]
    for number, output in enumerate(answers):
        log.put(replace(a_prediction(number), output=output))
    log.close()
    assert sorted(ids(tmp_path)) == ["0", "2"]
    assert log.dropped == 1
    assert b'"ranks":[0,1,2]' in log.path.read_bytes()
