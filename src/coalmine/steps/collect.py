"""Base rows and what people said of predictions -> rows to train on, in one Parquet file with a canonical digest."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from coalmine.errors import BadInput, Refused
from coalmine.records import Dataset, Snapshot
from coalmine.settings import Settings
from coalmine.steps.said import Said, of_snapshot, taken_now
from coalmine.steps.workload import EVALUATION, TRAIN, Row, Task, load_workload, task_of

FEEDBACK = "feedback"  # the domain of rows learnt from votes
COLUMNS = ("text", "label", "weight", "domain", "entity")
_VALUES = attrgetter(*COLUMNS)


@dataclass(frozen=True, slots=True)
class Learnt:
    """Rows from what people said, on how many predictions, and how many of those were of no use for which reason."""

    rows: tuple[Row, ...]
    said: int
    left_out: Mapping[str, int]


def collect(settings: Settings, *, domains: Sequence[str] = (), votes: bool = False, snapshot: str = "") -> Dataset:
    """The training rows of `domains` (default: the workload's first) and, with `votes`, what people taught.

    What the services wrote is taken into the lake, and what people said is exactly a snapshot of it, which the dataset
    names; with `snapshot`, a digest or how it begins, the one that was made then: the same rows again.
    Writes `<state>/datasets/<digest>.parquet`: the same rows give the same file name, whatever their order was.

    Raises:
        Refused: an entity stands among the training and the evaluation rows.
        BadInput: no rows, only one label, no such snapshot, or what the workload raises.
    """
    workload = load_workload(settings.project, settings.model)
    chosen = tuple(domains) or workload.domains[:1]
    base = workload.rows(chosen, split=TRAIN)
    held_out = workload.rows(workload.domains, split=EVALUATION)
    refuse_leaks(base, held_out)
    # The same words may stand in two documents; what is evaluated on is never trained on.
    seen = {fingerprint(row.text) for row in held_out}
    task = task_of(workload)
    rows = [row for row in base if fingerprint(row.text) not in seen]
    sources = [f"{domain}: {count} rows" for domain, count in Counter(row.domain for row in rows).items()]
    taken: Snapshot | None = None
    if votes or snapshot:
        taken, said = of_snapshot(settings, snapshot) if snapshot else taken_now(settings)
        learnt = learn(said, labels=workload.labels, held_out=frozenset(seen))
        rows.extend(learnt.rows)
        spared = "".join(f", {count} {reason}" for reason, count in sorted(learnt.left_out.items()))
        sources.append(f"{FEEDBACK}: {len(learnt.rows)} rows from {learnt.said} votes{spared}")
    made = store(settings.state / "datasets", rows, sources=tuple(sources), task=task)
    return dataclasses.replace(made, snapshot=taken)


def learn(said: Iterable[Said], *, labels: tuple[str, ...], held_out: frozenset[str] = frozenset()) -> Learnt:
    """Rows from what people said: its label as the lake has it; without one, a thumb down means the other label.

    Without `labels` a number is predicted: a correction gives the true one, and a thumb alone teaches nothing.

    Each text weighs 1 in all, as a base row does, however many people spoke of it: its weight is shared between the
    labels as their words were. `held_out`: fingerprints left out.
    """
    meant: dict[str, Counter[float]] = defaultdict(Counter)
    left_out: Counter[str] = Counter()
    words = list(said)
    for one in words:
        label = _label(one, labels)
        if one.input is None:
            left_out["without a kept text"] += 1
        elif label is None:
            left_out["with an unknown label" if labels else "without the true number"] += 1
        elif fingerprint(one.input) in held_out:
            left_out["on evaluation texts"] += 1
        else:
            meant[one.input][label] += 1
    rows = [
        Row(text, label, count / counts.total(), FEEDBACK, f"{FEEDBACK}/{fingerprint(text)[:16]}")
        for text, counts in meant.items()
        for label, count in counts.items()
    ]
    return Learnt(tuple(rows), len(words), dict(left_out))


def _label(said: Said, labels: tuple[str, ...]) -> float | None:
    if not labels:
        return _number(said.label or "")
    if said.label is not None:
        return labels.index(said.label) if said.label in labels else None
    if said.good is not False or said.predicted not in labels:
        return None
    return 1 - labels.index(said.predicted)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def refuse_leaks(training: Iterable[Row], held_out: Iterable[Row]) -> None:
    """Raises Refused where an entity has rows on both sides."""
    shared = sorted({row.entity for row in training} & {row.entity for row in held_out})
    if shared:
        raise Refused(
            f"{len(shared)} entities stand in both the training and the evaluation rows, the first is {shared[0]}",
            where="leakage",
            remedy="split by entity, not by row: see split_of in bentos/sentiment/data.py",
        )


def fingerprint(text: str) -> str:
    """Equal for texts that differ in case and blanks only."""
    return hashlib.sha256(" ".join(text.lower().split()).encode("utf-8", "surrogatepass")).hexdigest()


def digest(rows: Iterable[Row]) -> str:
    """sha256 over the sorted rows as JSON, one to a line: independent of order, file format and library versions."""
    total = hashlib.sha256()
    for row in sorted(rows, key=_VALUES):
        total.update(json.dumps(_VALUES(row)).encode() + b"\n")
    return total.hexdigest()


def store(folder: Path, rows: Sequence[Row], *, sources: tuple[str, ...], task: Task = Task.CLASSIFICATION) -> Dataset:
    """Write the rows, sorted, into `folder`. Raises BadInput for rows that no model can be trained on."""
    import pyarrow as pa  # type: ignore[import-untyped]  # noqa: PLC0415 (ships no types; heavy: only where it writes)
    from pyarrow import parquet  # noqa: PLC0415 (as above)

    positives = _positives(rows, task)
    if task is Task.REGRESSION:  # a whole number is the same number: one spelling, one digest
        rows = [dataclasses.replace(row, label=float(row.label)) for row in rows]
    ordered = sorted(rows, key=_VALUES)
    columns = {name: [getattr(row, name) for row in ordered] for name in COLUMNS}
    named = digest(ordered)
    path = folder / f"{named[:16]}.parquet"
    folder.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=folder, prefix=".draft-")
    os.close(handle)
    try:
        parquet.write_table(pa.table(columns), draft)
        Path(draft).replace(path)  # a reader sees the whole file or none
    finally:
        Path(draft).unlink(missing_ok=True)
    return Dataset(str(path), named, len(ordered), positives, sources)


def _positives(rows: Sequence[Row], task: Task) -> int | None:
    if task is Task.REGRESSION:
        if len({row.label for row in rows}) < 2:
            raise BadInput(f"{len(rows)} rows without two different numbers to predict", where="dataset")
        return None
    positives = sum(row.label == 1 for row in rows)
    if not 0 < positives < len(rows):
        raise BadInput(f"{len(rows)} rows, {positives} of them with label 1: both labels are needed", where="dataset")
    return positives


def read_rows(dataset: Dataset) -> list[Row]:
    """The rows of a dataset. Raises BadInput where the file is gone or holds other rows than the record says."""
    from pyarrow import parquet  # noqa: PLC0415 (heavy: only where rows are read)

    remedy = "run `coalmine train` from the start: it collects the rows again"
    try:
        table = parquet.read_table(dataset.path, columns=list(COLUMNS)).to_pydict()
    except (OSError, ValueError) as error:
        raise BadInput(f"it cannot be read: {error}", where=dataset.path, remedy=remedy) from error
    rows = [Row(*values) for values in zip(*(table[name] for name in COLUMNS), strict=True)]
    if digest(rows) != dataset.digest:
        raise BadInput("its rows have another digest than the record", where=dataset.path, remedy=remedy)
    return rows
