"""The prediction log: what was asked and answered, for drift, training and the join with feedback.

One JSON object a line in `<folder>/<release>-<pid>.jsonl`, written by a thread of its own so that no request waits for
a disk. A killed process loses at most what came in since the last flush (200 ms) and may leave half a line. A large
file is renamed to `<release>-<pid>.<Unix ms>.jsonl` and a new one begun; the lake's ingest removes what it has taken.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import BinaryIO

import orjson
from prometheus_client import Counter

from coalmine.errors import CoalmineError
from coalmine.records import ReleaseId

ENVIRONMENT = "COALMINE_PREDICTIONS"
FLUSH_SECONDS = 0.2
LARGEST_FILE = 64 << 20
_WRITTEN = Counter("coalmine_predictions_logged", "Predictions written to the log")
_DROPPED = Counter("coalmine_predictions_dropped", "Predictions that the log lacks: no room, or JSON cannot say them")


@dataclass(slots=True)  # not frozen: that would triple what it costs to make one, once a prediction
class Prediction:
    """One line."""

    id: str
    t: float  # Unix seconds
    release: str
    model_version: int
    features_digest: str  # sha256 of the input's text
    input: str | None  # None where the policy is not to keep it
    output: dict[str, object]
    latency_ms: float
    arm: str = ""  # as the edge said: it overwrites what clients send
    tenant: str = "default"
    sketch: Sequence[float] | None = None  # a few numbers that stand for the input's features, for drift


class PredictionLog:
    """A bounded buffer and the thread that empties it. `put` may be called from any thread and never waits."""

    def __init__(
        self,
        folder: Path,
        release: ReleaseId,
        *,
        keep_input: bool = True,
        buffer: int = 20_000,
        largest: int = LARGEST_FILE,
    ) -> None:
        """`keep_input=False` leaves texts out (a policy of privacy); the digest stays. `largest`: bytes of one file."""
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{release}-{os.getpid()}.jsonl"
        self.dropped = 0  # lines that were not written: no room in the buffer or on the disk, or no JSON for them
        self._keep_input = keep_input
        self._buffer: deque[Prediction] = deque()
        self._most = buffer
        self._largest = largest
        self._closing = threading.Event()
        self._file = _open_whole(self.path)
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self._thread.start()

    def put(self, prediction: Prediction) -> None:
        if len(self._buffer) >= self._most:
            self._lost(1)
        else:
            self._buffer.append(prediction if self._keep_input else replace(prediction, input=None))

    def close(self) -> None:
        """Write what is left and end the thread."""
        self._closing.set()
        self._thread.join()
        self._file.close()

    def _run(self) -> None:
        while not self._closing.wait(FLUSH_SECONDS):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        taken = [self._buffer.popleft() for _ in range(len(self._buffer))]
        if not taken:
            return
        lines = [line for line in map(_line, taken) if line]
        if len(lines) < len(taken):
            self._lost(len(taken) - len(lines))
        try:
            self._file.write(b"".join(lines))
            _WRITTEN.inc(len(lines))
            if self._file.tell() > self._largest:
                self._rotate()
        except OSError:  # a full disk must not stop answers; the counter says that rows are missing
            self._lost(len(lines))

    def _lost(self, rows: int) -> None:
        self.dropped += rows
        _DROPPED.inc(rows)

    def _rotate(self) -> None:
        """Under another name the file is finished: readers know files by what they hold, and go on in it."""
        self.path.rename(self.path.with_suffix(f".{time.time_ns() // 1_000_000}.jsonl"))
        self._file.close()
        self._file = _open_whole(self.path)


def _line(prediction: Prediction) -> bytes:
    """Empty where JSON cannot say the answer at all: a model of a user's own may put anything into it."""
    try:
        return orjson.dumps(prediction, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY)
    except TypeError:  # half a surrogate pair, a number above 64 bits: what JSON in UTF-8 cannot say, escapes can
        pass
    try:
        return json.dumps(asdict(prediction), separators=(",", ":")).encode() + b"\n"
    except (TypeError, ValueError, RecursionError):
        return b""


def _open_whole(path: Path) -> BinaryIO:
    """Append to `path`, first ending a half line that an earlier process of this pid may have left."""
    # Unbuffered: one write call per flush, so that a crash between two flushes loses nothing that was flushed.
    file = path.open("ab", buffering=0)
    if file.tell():
        with path.open("rb") as written:
            written.seek(-1, os.SEEK_END)
            if written.read(1) != b"\n":
                file.write(b"\n")
    return file


def name_of(line: bytes) -> str:
    """What a line is known by, also after it was blanked."""
    row = parse(line)
    if row is not None:
        return hashlib.sha256(row.id.encode()).hexdigest()[:16]
    try:
        return str(json.loads(line)["erased"])
    except (ValueError, KeyError, TypeError):
        return hashlib.sha256(line).hexdigest()[:16]


def blank(line: bytes) -> bytes:
    """A line of the same length and name that says nothing: a log is written over in place, and readers keep theirs."""
    said = json.dumps({"erased": name_of(line)}).encode()
    return said + b" " * (len(line) - len(said) - 1) + b"\n"


def parse(line: bytes) -> Prediction | None:
    """The prediction in a line; None for half a line of a crashed process, or one that was erased."""
    if not line.endswith(b"\n"):
        return None
    try:
        row = json.loads(line)
        ReleaseId.parse(row["release"])
        return Prediction(
            id=str(row["id"]),
            t=float(row["t"]),
            release=str(row["release"]),
            model_version=int(row["model_version"]),
            features_digest=str(row["features_digest"]),
            input=None if row["input"] is None else str(row["input"]),
            output=dict(row["output"]),
            latency_ms=float(row["latency_ms"]),
            arm=str(row.get("arm", "")),
            tenant=str(row.get("tenant", "default")),
            sketch=None if row.get("sketch") is None else [float(part) for part in row["sketch"]],
        )
    except (ValueError, KeyError, TypeError, CoalmineError):
        return None
