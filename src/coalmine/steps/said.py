"""What people said of predictions, as the rows of a snapshot of the lake: the one way by which it reaches training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from coalmine.feedback.opening import open_lake
from coalmine.records import Kind, Query, Snapshot
from coalmine.settings import Settings

if TYPE_CHECKING:
    from coalmine.feedback.lake import Lake


@dataclass(frozen=True, slots=True)
class Said:
    """One prediction on which anybody said something: a row of the lake's labels."""

    input: str | None
    predicted: str | None
    label: str | None  # the latest correction, or the prediction's own where the latest word calls it good
    good: bool | None


def taken_now(settings: Settings) -> tuple[Snapshot, Iterator[Said]]:
    """Take in what the services wrote, join it, and name the rows as they are then."""
    from coalmine.feedback import snapshots  # noqa: PLC0415 (polars and deltalake: only where the lake is used)

    lake = open_lake(settings)
    lake.ingest()
    lake.join()
    taken = snapshots.snapshot(lake, Query())
    return taken, _rows(lake, taken)


def of_snapshot(settings: Settings, digest: str) -> tuple[Snapshot, Iterator[Said]]:
    """The rows that were named before. Raises BadInput for none of that digest, Refused where they cannot be had."""
    from coalmine.feedback import snapshots  # noqa: PLC0415 (as above)

    lake = open_lake(settings)
    taken = snapshots.named(lake, digest)
    return taken, _rows(lake, taken)


def _rows(lake: Lake, taken: Snapshot) -> Iterator[Said]:
    from coalmine.feedback import snapshots  # noqa: PLC0415 (as above)

    rows = snapshots.rows(lake, taken).select("input", "predicted", "label", "good")
    return (Said(*row) for row in rows.iter_rows())


def users_of(settings: Settings, taken: Snapshot) -> list[str]:
    """Who spoke, a name for each word ('' where none was given), in the feedback that the snapshot was joined from."""
    import polars as pl  # noqa: PLC0415 (as above)

    lake, asked = open_lake(settings), taken.query
    query = Query("feedback", tenant=asked.tenant, release=asked.release)
    words = pl.col("kind").is_in([kind.value for kind in Kind if kind.explicit])
    found = lake.query(query, version=taken.versions["feedback"]).filter(words).select("user")
    return [str(user or "") for user in found.collect()["user"]]
