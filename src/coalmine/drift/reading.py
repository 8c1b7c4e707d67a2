"""From the lake or a file of texts to what is watched. Reads only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from coalmine.drift.signals import Seen, words_of
from coalmine.errors import BadInput, CoalmineError
from coalmine.records import ReleaseId
from coalmine.release.ledger import Ledger
from coalmine.settings import Settings
from coalmine.steps.collect import fingerprint
from coalmine.steps.workload import EVALUATION, TRAIN, load_workload

if TYPE_CHECKING:
    import polars as pl


class Source(Protocol):
    """What is asked of `coalmine.feedback.lake.Lake`."""

    def predictions(self, *, tenant: str | None = None, release: str | None = None) -> pl.LazyFrame: ...

    def labels(self, *, tenant: str | None = None, release: str | None = None) -> pl.LazyFrame: ...


@dataclass(frozen=True, slots=True)
class Fitted:
    """What is known of the rows that a release was fitted on: their fingerprints and their words."""

    prints: AbstractSet[str] = frozenset()
    words: AbstractSet[str] = frozenset()


def tenants(source: Source) -> list[tuple[str, str]]:
    """Each tenant with the release that answered it last."""
    rows = source.predictions().select("tenant", "release", "t").collect()
    newest = rows.sort("t").group_by("tenant", maintain_order=True).last().sort("tenant")
    return [(str(tenant), str(release)) for tenant, release in newest.select("tenant", "release").rows()]


def predictions(source: Source, *, tenant: str, release: str, after: str = "") -> list[Seen]:
    """In order of their ids, which is that of time; only those above the id `after`."""
    import polars as pl  # noqa: PLC0415 (as above)

    wanted = ["id", "t", "input", "label", "score", "sketch"]
    frame = source.predictions(tenant=tenant, release=release).filter(pl.col("id") > after).select(wanted)
    return [_seen(row) for row in frame.sort("id").collect().rows(named=True)]


def _seen(row: dict[str, Any]) -> Seen:
    sketch = None if row["sketch"] is None else tuple(map(float, row["sketch"]))
    return Seen(row["id"], row["t"], row["input"], row["label"], row["score"], sketch)


def labelled(source: Source, *, tenant: str, release: str, known: AbstractSet[str]) -> list[Seen]:
    """Predictions whose label has come, in the order in which it came; each prediction once for ever (`known`)."""
    import polars as pl  # noqa: PLC0415 (as above)

    right = pl.when(pl.col("good").is_not_null()).then(pl.col("good")).otherwise(pl.col("label") == pl.col("predicted"))
    frame = source.labels(tenant=tenant, release=release).select(
        "prediction", "t", "labelled_at", right.cast(pl.Boolean).alias("right")
    )
    rows = frame.drop_nulls("right").sort("labelled_at", "prediction").collect().rows(named=True)
    return [
        Seen(row["prediction"], row["t"], None, right=row["right"]) for row in rows if row["prediction"] not in known
    ]


def fitted(settings: Settings, release: str) -> Fitted:
    """The rows of the release's own dataset; nothing where it was packaged elsewhere."""
    try:
        found = Ledger(settings.database).find(settings.model, ReleaseId.parse(release))
    except CoalmineError:
        return Fitted()
    path = settings.state / "datasets" / f"{found.dataset_digest[:16]}.parquet" if found else None
    if path is None or not path.is_file():
        return Fitted()
    from pyarrow import parquet  # type: ignore[import-untyped]  # noqa: PLC0415 (ships no types; heavy)

    return _fitted(parquet.read_table(path, columns=["text"])["text"].to_pylist())


def _fitted(texts: Iterable[str]) -> Fitted:
    known = list(texts)
    words = frozenset(word for text in known for word in words_of(text))
    return Fitted(frozenset(map(fingerprint, known)), words)


def held_out(settings: Settings) -> tuple[list[Seen], Fitted]:
    """The workload's evaluation rows of its first domain as a reference, and the training rows they are apart from."""
    workload = load_workload(settings.project, settings.model)
    first = workload.domains[:1]
    rows = workload.rows(first, split=EVALUATION)
    # By fingerprint: the file's order may be one of time or of topic, and a reference's must be none.
    texts = sorted((row.text for row in rows), key=fingerprint)
    return of_texts(texts), _fitted(row.text for row in workload.rows(first, split=TRAIN))


def reference(settings: Settings, path: Path | None) -> tuple[list[Seen], Fitted]:
    """A file's texts, or the held-out rows."""
    return held_out(settings) if path is None else (read_texts(path), Fitted())


def of_texts(texts: Sequence[str]) -> list[Seen]:
    return [Seen(f"{number:012d}", float(number), text) for number, text in enumerate(texts, start=1)]


def read_texts(path: Path) -> list[Seen]:
    """One text a line, or one JSON object a line for a table. Raises BadInput where the file cannot be read."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"it cannot be read: {error}", where=str(path), remedy="one text a line, in UTF-8") from error
    return of_texts([line for line in lines if line.strip()])


def apart(rows: Sequence[Seen], fit: Fitted) -> list[Seen]:
    """Without those that were fitted on: a model looks better, and its words more familiar, on its own rows."""
    return [row for row in rows if row.input is None or fingerprint(row.input) not in fit.prints]
